"""The HTTP interface by hand: bodies of many frames, headers, limits, sessions."""

import gzip
import json
import socket
import zlib
from collections.abc import Callable, Iterator
from http.client import HTTPResponse
from urllib.parse import quote

import lz4.frame
import pytest
import zstandard
from clickhouse_connect.driver.client import Client

from .conftest import BridgeProcess

pytestmark = pytest.mark.integration

_CODECS: dict[str, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]] = {
    "gzip": (gzip.compress, gzip.decompress),
    "lz4": (lz4.frame.compress, lz4.frame.decompress),
    "zstd": (zstandard.compress, lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data)),
    "deflate": (zlib.compress, zlib.decompress),
}

_ROWS_ONLY = ["Native", "TSV", "TSVRaw", "TSKV", "CSV", "RowBinary", "JSONEachRow", "JSONStringsEachRow"]
_ROWS_ONLY += ["JSONCompactEachRow", "JSONCompactStringsEachRow"]
_WITH_HEAD_OR_FOOT = ["CSVWithNames", "TSVWithNamesAndTypes", "JSON", "JSONCompact", "Parquet", "ArrowStream"]
_WITH_HEAD_OR_FOOT += ["Values", "Markdown", "XML"]


def send(
    bridge: BridgeProcess, path: str = "/", body: object = b"", method: str = "POST", **headers: str
) -> HTTPResponse:
    """One request on a connection of its own; the response's body is read when its ``read`` is called."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection = bridge.http()
    connection.request(method, path, body, named, encode_chunked=not isinstance(body, bytes))
    return connection.getresponse()


def text(bridge: BridgeProcess, sql: str, path: str = "/") -> str:
    return send(bridge, path, sql.encode()).read().decode()


@pytest.mark.parametrize("encoding", _CODECS)
@pytest.mark.parametrize("chunked", [False, True])
def test_every_frame_of_a_body_is_decoded(bridge: BridgeProcess, table: str, encoding: str, chunked: bool) -> None:
    text(bridge, f"CREATE TABLE {table} (n UInt64) ENGINE = MergeTree ORDER BY n")
    lines = [b"".join(b"%d\n" % n for n in range(k * 16_384, (k + 1) * 16_384)) for k in range(12)]
    compress = _CODECS[encoding][0]
    frames = [compress(part) for part in lines]
    # Chunks that do not end where frames do.
    whole = b"".join(frames)
    body: object = _cut(whole, 10_007) if chunked else whole
    headers = {"Content_Encoding": encoding} | ({"Transfer_Encoding": "chunked"} if chunked else {})
    response = send(bridge, f"/?query={quote(f'INSERT INTO {table} FORMAT TSV')}", body, **headers)
    assert (response.status, response.read()) == (200, b"")
    assert json.loads(response.headers["X-ClickHouse-Summary"])["written_rows"] == str(12 * 16_384)
    assert text(bridge, f"SELECT count(), sum(n) FROM {table}") == f"{12 * 16_384}\t{sum(range(12 * 16_384))}\n"


@pytest.mark.parametrize("encoding", ["lz4", "zstd"])
def test_native_blocks_each_in_a_frame_of_its_own(bridge: BridgeProcess, table: str, encoding: str) -> None:
    text(bridge, f"CREATE TABLE {table} (n UInt64) ENGINE = MergeTree ORDER BY n")
    compress = _CODECS[encoding][0]
    blocks = [
        send(bridge, "/", f"SELECT number + {k} AS n FROM numbers(16384) FORMAT Native".encode()).read()
        for k in range(12)
    ]
    statement = f"INSERT INTO {table} FORMAT Native\n".encode()
    body = b"".join(map(compress, [statement, *blocks]))
    assert send(bridge, "/", body, Content_Encoding=encoding).read() == b""
    assert text(bridge, f"SELECT count() FROM {table}") == f"{12 * 16_384}\n"


@pytest.mark.parametrize("encoding", _CODECS)
def test_a_body_cut_inside_a_frame_is_refused_and_nothing_kept(
    bridge: BridgeProcess, table: str, encoding: str
) -> None:
    text(bridge, f"CREATE TABLE {table} (n UInt64) ENGINE = MergeTree ORDER BY n")
    frame = _CODECS[encoding][0](b"".join(b"%d\n" % n for n in range(50_000)))
    response = send(
        bridge,
        f"/?query={quote(f'INSERT INTO {table} FORMAT TSV')}",
        frame + frame[: len(frame) // 2],
        Content_Encoding=encoding,
    )
    assert response.headers["X-ClickHouse-Exception-Code"] == "271"
    assert "ends inside a frame" in response.read().decode()
    assert text(bridge, f"SELECT count() FROM {table}") == "0\n"


@pytest.mark.parametrize(("encoding", "body", "code"), [("snappy", b"x", "48"), ("lz4", b"not lz4 at all", "271")])
def test_an_encoding_that_is_unknown_or_untrue_is_named(
    bridge: BridgeProcess, table: str, encoding: str, body: bytes, code: str
) -> None:
    text(bridge, f"CREATE TABLE {table} (n UInt64) ENGINE = MergeTree ORDER BY n")
    response = send(bridge, f"/?query={quote(f'INSERT INTO {table} FORMAT TSV')}", body, Content_Encoding=encoding)
    assert response.headers["X-ClickHouse-Exception-Code"] == code
    assert encoding in response.read().decode()


@pytest.mark.parametrize("encoding", _CODECS)
@pytest.mark.parametrize("rows", [0, 1, 500_000])
def test_responses_are_encoded_as_asked(bridge: BridgeProcess, encoding: str, rows: int) -> None:
    sql = f"SELECT number FROM numbers({rows})".encode()
    response = send(bridge, "/?enable_http_compression=1", sql, Accept_Encoding=encoding)
    assert response.headers["Content-Encoding"] == encoding
    assert _CODECS[encoding][1](response.read()) == b"".join(b"%d\n" % n for n in range(rows))


def test_compression_can_be_declined(bridge: BridgeProcess) -> None:
    response = send(bridge, "/?enable_http_compression=0", b"SELECT 1", Accept_Encoding="lz4, gzip")
    assert (response.headers["Content-Encoding"], response.read()) == (None, b"1\n")


def test_an_upload_that_breaks_off_leaves_nothing(bridge: BridgeProcess, client: Client, table: str) -> None:
    client.command(f"CREATE TABLE {table} (n UInt64) ENGINE = MergeTree ORDER BY n")
    path = f"/?query={quote(f'INSERT INTO {table} FORMAT TSV')}"
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", bridge.port)) as raw:
        raw.sendall(head.encode() + b"1\n" * 1_000_000)
    for _ in range(20):
        assert client.command(f"SELECT count() FROM {table}") == 0


def test_a_write_that_had_arrived_ends_although_its_client_went_away(
    bridge: BridgeProcess, client: Client, table: str
) -> None:
    client.command(f"CREATE TABLE {table} (n UInt64) ENGINE = MergeTree ORDER BY n")
    connection = bridge.http()
    sql = f"INSERT INTO {table} SELECT number + sleepEachRow(0.1) FROM numbers(20)"
    connection.request("POST", "/?max_block_size=20", sql.encode())
    running = f"SELECT countIf(startsWith(query, 'INSERT INTO {table}')) FROM system.processes"
    while client.command(running) == 0:
        pass
    connection.close()
    while client.command(running) > 0:
        pass
    assert client.command(f"SELECT count() FROM {table}") == 20


def test_ping_paths_and_headers(bridge: BridgeProcess) -> None:
    assert send(bridge, "/ping", method="GET").read() == b"Ok.\n"
    assert send(bridge, "/", method="GET").read() == b"Ok.\n"
    assert send(bridge, "/no-such-path", method="GET").status == 404
    response = send(bridge, "/?query_id=my-id&query=SELECT+1&default_format=JSONCompact", method="GET")
    headers = response.headers
    assert json.loads(response.read())["data"] == [[1]]
    assert headers["X-ClickHouse-Format"] == "JSONCompact"
    assert headers["X-ClickHouse-Query-Id"] == "my-id"
    assert headers["X-ClickHouse-Timezone"] in {"UTC", "Etc/UTC"}
    assert headers["X-ClickHouse-Server-Display-Name"]
    assert json.loads(headers["X-ClickHouse-Summary"])["read_rows"] == "1"


@pytest.mark.parametrize("rows", [0, 10, 200_000])
@pytest.mark.parametrize(
    "fmt",
    [*_ROWS_ONLY, *_WITH_HEAD_OR_FOOT],
)
def test_a_result_reads_back_equal_in_every_format(bridge: BridgeProcess, table: str, fmt: str, rows: int) -> None:
    """Formats with head and foot must have one of each however many blocks the result has."""
    response = send(bridge, f"/?default_format={fmt}", f"SELECT number AS n FROM numbers({rows})".encode())
    body = response.read()
    assert (response.status, response.headers["X-ClickHouse-Format"]) == (200, fmt)
    readers: dict[str, Callable[[bytes], int]] = {
        "JSON": lambda data: len(json.loads(data)["data"]),
        "JSONCompact": lambda data: len(json.loads(data)["data"]),
        "Markdown": lambda data: data.count(b"\n") - 2 if rows else 0,
        "XML": lambda data: data.count(b"<n>"),
    }
    if fmt in readers:
        assert readers[fmt](body) == rows
        return
    text(bridge, f"CREATE TABLE {table} (n UInt64) ENGINE = MergeTree ORDER BY n")
    if rows or fmt not in {"Native", "Values"}:
        assert send(bridge, f"/?query={quote(f'INSERT INTO {table} FORMAT {fmt}')}", body).status == 200
    assert text(bridge, f"SELECT count(), sum(n) FROM {table}") == f"{rows}\t{sum(range(rows))}\n"


def test_a_get_cannot_write(bridge: BridgeProcess) -> None:
    response = send(bridge, f"/?query={quote('CREATE TABLE nope (x UInt8) ENGINE = Memory')}", method="GET")
    assert (response.status, response.headers["X-ClickHouse-Exception-Code"]) == (500, "164")


def test_session_check_demands_a_session_and_close_session_ends_it(bridge: BridgeProcess) -> None:
    response = send(bridge, "/?session_id=s1&session_check=1", b"SELECT 1")
    assert (response.status, response.headers["X-ClickHouse-Exception-Code"]) == (500, "372")
    assert text(bridge, "SET max_block_size = 99", "/?session_id=s1") == ""
    assert (
        text(bridge, "SELECT getSetting('max_block_size')", "/?session_id=s1&session_check=1&close_session=1") == "99\n"
    )
    assert send(bridge, "/?session_id=s1&session_check=1", b"SELECT 1").headers["X-ClickHouse-Exception-Code"] == "372"


def test_a_session_ends_when_its_time_is_over(bridge: BridgeProcess, client: Client) -> None:
    text(bridge, "CREATE TEMPORARY TABLE kept (x UInt8)", "/?session_id=s2&session_timeout=1")
    assert client.command("SELECT sleep(3)") == 0
    assert send(bridge, "/?session_id=s2&session_check=1", b"SELECT 1").headers["X-ClickHouse-Exception-Code"] == "372"


def test_a_session_serves_one_query_at_a_time(bridge: BridgeProcess) -> None:
    connection = bridge.http()
    connection.request("POST", "/?session_id=s3&max_threads=1", b"SELECT number FROM numbers(100000000)")
    first = connection.getresponse()
    response = send(bridge, "/?session_id=s3", b"SELECT 1")
    assert response.headers["X-ClickHouse-Exception-Code"] == "373"
    first.close()
    connection.close()


@pytest.mark.parametrize(
    "headers", [{"Origin": "http://example.org"}, {"Host": "example.org:8123"}, {"Origin": "null"}]
)
def test_a_web_page_elsewhere_cannot_use_the_server(bridge: BridgeProcess, headers: dict[str, str]) -> None:
    response = send(bridge, "/", b"SELECT 1", **headers)
    assert (response.status, response.headers["X-ClickHouse-Exception-Code"]) == (403, "497")


def test_more_queries_than_allowed_are_refused(starter: Callable[..., BridgeProcess]) -> None:
    running = starter("small", "--max-queries", "1")
    connection = running.http()
    connection.request("POST", "/?max_threads=1", b"SELECT number FROM numbers(100000000)")
    first = connection.getresponse()
    assert send(running, "/", b"SELECT 1").headers["X-ClickHouse-Exception-Code"] == "202"
    first.close()
    connection.close()


def test_a_body_beyond_the_limit_is_refused_even_if_it_was_small_on_the_wire(
    starter: Callable[..., BridgeProcess],
) -> None:
    running = starter("small", "--max-body-bytes", "1000000")
    path = f"/?query={quote('INSERT INTO FUNCTION null(' + chr(39) + 'x String' + chr(39) + ') FORMAT TSV')}"
    response = send(running, path, gzip.compress(b"x\n" * 10_000_000), Content_Encoding="gzip")
    assert (response.status, response.headers["X-ClickHouse-Exception-Code"]) == (413, "229")
    assert send(running, path, b"x\n" * 1000).status == 200


def _cut(data: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]
