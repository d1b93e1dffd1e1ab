// node tardis_book.js <feed> <repeats>: tardis-dev's mapper of Binance futures books and its order book, in memory.
// Prints messages, processor seconds and the final book's levels as one line of JSON.
'use strict'
const fs = require('node:fs')
const { createRequire } = require('node:module')
const load = createRequire(`${process.cwd()}/`)
const { normalizeBookChanges, OrderBook } = load('tardis-dev')

const [path, repeats] = process.argv.slice(2)
const lines = fs.readFileSync(path, 'utf8').split('\n').filter((line) => line.length > 0)
// It knows a REST snapshot as a message of the recorder's own.
lines[0] = JSON.stringify({ stream: 'btcusdt@depthSnapshot', data: JSON.parse(lines[0]) })

function play() {
  const now = new Date('2024-08-08T23:54:15Z')
  const mapper = normalizeBookChanges('binance-futures', now)
  const book = new OrderBook()
  const began = process.cpuUsage()
  for (const line of lines) {
    const message = JSON.parse(line)
    if (!mapper.canHandle(message)) continue
    for (const change of mapper.map(message, now)) book.update(change)
  }
  const used = process.cpuUsage(began)
  return { seconds: (used.user + used.system) / 1e6, book }
}

let best = play()
for (let n = 0; n < Number(repeats); n++) {
  const next = play()
  if (next.seconds < best.seconds) best = next
}
const levels = (side) => Array.from(side, (level) => [level.price, level.amount])
const sides = { bids: levels(best.book.bids()), asks: levels(best.book.asks()) }
console.log(JSON.stringify({ messages: lines.length - 1, seconds: best.seconds, ...sides }))
