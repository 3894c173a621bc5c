"""Where the service is, and with which key."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from lossatlas.discovery import find_endpoint
from lossatlas.errors import ConfigurationError


def endpoint(folder: Path, url: str = "http://127.0.0.1:8000", key: str = "filekey") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "endpoint.json"
    path.write_text(json.dumps({"url": url, "key": key}))
    return path


def test_arguments_win_over_the_environment_over_the_file(tmp_path: Path) -> None:
    endpoint(tmp_path / ".lossatlas")
    env = {"LOSSATLAS_URL": "https://env/", "LOSSATLAS_KEY": "envkey"}
    found = find_endpoint("https://argument", "k", environ=env, folder=tmp_path)
    assert (found.url, found.key) == ("https://argument", "k")
    found = find_endpoint(environ=env, folder=tmp_path)
    assert (found.url, found.key, found.source) == ("https://env", "envkey", "LOSSATLAS_URL")
    found = find_endpoint(environ={}, folder=tmp_path)
    assert (found.url, found.key) == ("http://127.0.0.1:8000", "filekey")


def test_the_file_is_found_above_and_in_a_named_folder(tmp_path: Path) -> None:
    path = endpoint(tmp_path / ".lossatlas")
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert find_endpoint(environ={}, folder=below).source == str(path)
    elsewhere = endpoint(tmp_path / "other", key="otherkey")
    found = find_endpoint(environ={"LOSSATLAS_DATA_DIR": str(elsewhere.parent)}, folder=below)
    assert found.key == "otherkey"
    with pytest.raises(ConfigurationError):
        find_endpoint(environ={"LOSSATLAS_DATA_DIR": str(tmp_path / "empty")}, folder=below)


def test_a_key_is_not_sent_to_another_address(tmp_path: Path) -> None:
    endpoint(tmp_path / ".lossatlas")
    with pytest.raises(ConfigurationError, match="no key for https://elsewhere"):
        find_endpoint(environ={"LOSSATLAS_URL": "https://elsewhere"}, folder=tmp_path)


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, "no service is known"),
        ({"LOSSATLAS_KEY": "k"}, "LOSSATLAS_URL"),
        ({"LOSSATLAS_URL": "https://a"}, "LOSSATLAS_KEY"),
        ({"LOSSATLAS_URL": "a", "LOSSATLAS_KEY": "k"}, "no address"),
        ({"LOSSATLAS_URL": "https://a", "LOSSATLAS_KEY": "a b"}, "characters that no key has"),
    ],
)
def test_what_is_missing_is_said(environ: dict[str, str], said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=said):
        find_endpoint(environ=environ, folder=tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"url": "http://a"}', '{"url": 1, "key": 2}'])
def test_a_file_that_is_no_endpoint_file(text: str, tmp_path: Path) -> None:
    endpoint(tmp_path / ".lossatlas").write_text(text)
    with pytest.raises(ConfigurationError, match="is not an endpoint file"):
        find_endpoint(environ={}, folder=tmp_path)


def test_a_key_is_not_shown() -> None:
    assert "topsecret" not in repr(find_endpoint("https://a", "topsecret", environ={}))
