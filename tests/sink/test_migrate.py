"""Migrations as files: numbered without holes, both ways, in statements one can send. Applying them is integration."""

import pytest

from sink.migrate import Migration, MigrationRefused, _check, shipped, statements

ONE = Migration(1, "one", "CREATE TABLE a (n UInt8) ENGINE = Memory;\n", "DROP TABLE a;\n")


def test_numbers_have_no_holes_and_every_step_has_a_way_back() -> None:
    migrations = shipped()
    assert [m.number for m in migrations] == list(range(1, len(migrations) + 1))
    for migration in migrations:
        assert len(list(statements(migration.up))) == len(list(statements(migration.down)))


def test_every_statement_bears_being_repeated() -> None:
    """An interrupted migration is run again from its start."""
    for migration in shipped():
        for statement in [*statements(migration.up), *statements(migration.down)]:
            assert "IF NOT EXISTS" in statement or "IF EXISTS" in statement, statement.splitlines()[0]


def test_statements_end_at_a_semicolon_that_ends_a_line_and_comments_are_left_out() -> None:
    sql = "-- a comment; with one\nCREATE TABLE a\n(\n  c String COMMENT 'x; y'\n);\n\nDROP TABLE b;"
    assert list(statements(sql)) == ["CREATE TABLE a\n(\n  c String COMMENT 'x; y'\n)", "DROP TABLE b"]


def test_a_changed_file_is_refused_with_a_remedy() -> None:
    with pytest.raises(MigrationRefused, match=r"0001_one was changed after .* put the change into a new migration"):
        _check({1: "another checksum"}, {1: ONE})


def test_a_database_of_a_newer_version_is_refused_with_a_remedy() -> None:
    with pytest.raises(MigrationRefused, match=r"0002 is applied but not part .* --to 1"):
        _check({1: ONE.checksum, 2: "x"}, {1: ONE})


def test_what_is_applied_unchanged_is_accepted() -> None:
    assert _check({1: ONE.checksum}, {1: ONE}) is None


def test_the_way_back_is_part_of_the_checksum() -> None:
    assert Migration(1, "one", ONE.up, "DROP TABLE b;").checksum != ONE.checksum
