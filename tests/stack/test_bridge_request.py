"""Reading requests: parameters, settings, users, origins; and errors as ClickHouse words them."""

import base64

import pytest

from stack.bridge.errors import EngineError, from_engine, refusal
from stack.bridge.request import check_origin, check_user, query_pairs, read_request
from stack.bridge.session import identifier, quoted
from stack.bridge.settings import Limits


def test_parameters_settings_and_transport_are_told_apart() -> None:
    pairs = query_pairs("query=SELECT+1&database=db&param_x=%FF%00&max_threads=2&wait_end_of_query=1&session_timeout=9")
    request = read_request(pairs, {}, get=False)
    assert (request.query, request.database, request.session_timeout) == (b"SELECT 1", "db", 9)
    assert request.parameters == {"param_x": b"\xff\x00"}
    assert request.settings == {"max_threads": "2"}
    assert request.wait_end_of_query
    assert not request.readonly


def test_headers_stand_in_for_absent_parameters() -> None:
    headers = {"X-ClickHouse-Database": "db", "X-ClickHouse-Format": "CSV"}
    assert read_request([], headers, get=False).database == "db"
    assert read_request([("database", b"other")], headers, get=False).database == "other"
    assert read_request([], headers, get=False).default_format == "CSV"


def test_a_get_and_the_setting_readonly_make_a_request_read_only() -> None:
    assert read_request([], {}, get=True).readonly
    assert read_request([("readonly", b"1")], {}, get=False).readonly


def test_columns_of_external_tables_are_no_settings() -> None:
    pairs = [("ext_structure", b"x UInt8"), ("ext_format", b"CSV"), ("date_time_output_format", b"iso")]
    request = read_request(pairs, {}, get=False, tables=["ext"])
    assert request.external == {"ext": {"structure": "x UInt8", "format": "CSV"}}
    assert request.settings == {"date_time_output_format": "iso"}


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("session_timeout", b"soon", 36),
        ("session_timeout", b"3601", 36),
        ("session_check", b"2", 36),
        ("max threads", b"1", 36),
        ("x=1, y", b"1", 36),
        ("param_x y", b"1", 36),
        ("compress", b"1", 48),
        ("decompress", b"1", 48),
        ("role", b"admin", 48),
    ],
)
def test_a_wrong_parameter_is_named(name: str, value: bytes, code: int) -> None:
    with pytest.raises(EngineError) as caught:
        read_request([(name, value)], {}, get=False)
    assert caught.value.code == code
    assert name in str(caught.value)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Basic " + base64.b64encode(b"default:").decode()},
        {"X-ClickHouse-User": "default"},
    ],
)
def test_the_user_default_without_a_password_is_let_in(headers: dict[str, str]) -> None:
    check_user(headers, [("user", b"default")])


@pytest.mark.parametrize(
    ("headers", "pairs"),
    [
        ({"Authorization": "Basic " + base64.b64encode(b"default:secret").decode()}, []),
        ({"Authorization": "Basic " + base64.b64encode(b"bob:").decode()}, []),
        ({"Authorization": "Basic ???"}, []),
        ({"Authorization": "Bearer token"}, []),
        ({"X-ClickHouse-User": "bob"}, []),
        ({"X-ClickHouse-Key": "secret"}, []),
        ({}, [("user", b"bob")]),
        ({}, [("password", b"secret")]),
    ],
)
def test_everyone_else_is_refused(headers: dict[str, str], pairs: list[tuple[str, bytes]]) -> None:
    with pytest.raises(EngineError) as caught:
        check_user(headers, pairs)
    assert (caught.value.code, caught.value.http_status) == (516, 403)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8123", "[::1]:8123"])
def test_requests_of_this_machine_are_answered(host: str) -> None:
    check_origin({"Host": host})
    check_origin({"Host": host, "Origin": f"http://{host}"})


@pytest.mark.parametrize(
    "headers",
    [{"Host": "example.org"}, {"Origin": "https://example.org"}, {"Origin": "null"}, {"Host": "127.0.0.1.nip.io"}],
)
def test_requests_of_web_pages_elsewhere_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(EngineError) as caught:
        check_origin(headers)
    assert caught.value.code == 497


def test_values_and_names_are_quoted_for_sql() -> None:
    assert quoted("a'b\\c") == b"'a\\'b\\\\c'"
    assert quoted(b"\xff") == b"'\xff'"
    assert identifier("a`b\\") == b"`a\\`b\\\\`"


def test_an_engines_text_becomes_its_code_and_begins_with_it() -> None:
    error = from_engine("Streaming query failed: Code: 395. DB::Exception: broken. (X)", "26.9.2.1")
    assert (error.code, str(error)) == (395, "Code: 395. DB::Exception: broken. (X) (version 26.9.2.1)")
    assert str(from_engine(str(error), "26.9.2.1")) == str(error)


def test_a_text_without_a_code_is_still_an_error_with_one() -> None:
    error = from_engine("something else", "26.9.2.1")
    assert (error.code, error.http_status) == (1002, 500)
    assert "something else" in str(error)


@pytest.mark.parametrize(
    ("code", "status"),
    [(62, 400), (27, 400), (60, 404), (115, 404), (516, 403), (159, 408), (229, 413), (48, 501), (241, 500)],
)
def test_codes_map_to_clickhouses_statuses(code: int, status: int) -> None:
    assert refusal(code, "NAME", "text").http_status == status


def test_a_limit_below_one_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="max_queries=0 must be at least 1"):
        Limits(max_queries=0)
