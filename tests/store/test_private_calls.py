"""The SDK's private calls that multipart uploads are made of: each is there, as it is called.

A minor release of the SDK may change them without a word, so the dependency ends before the next.
"""

from __future__ import annotations

import ast
import inspect
import re
import tomllib
from pathlib import Path

import minio
from minio import Minio

from service.store import multipart

ROOT = Path(__file__).parents[2]
#: By name: the parameters that we give, in their order; those given by name end in "=".
CALLS: dict[str, tuple[str, ...]] = {
    "_create_multipart_upload": ("bucket_name", "object_name", "headers"),
    "_list_parts": ("bucket_name", "object_name", "upload_id", "part_number_marker="),
    "_complete_multipart_upload": ("bucket_name", "object_name", "upload_id", "parts"),
    "_abort_multipart_upload": ("bucket_name", "object_name", "upload_id"),
    "_list_multipart_uploads": ("bucket_name", "key_marker=", "upload_id_marker="),
}


def changed(sdk: type, calls: dict[str, tuple[str, ...]]) -> list[str]:
    """A sentence for each call that is not what it was."""
    said = []
    for name, given in calls.items():
        ours = f"Minio.{name}({', '.join(given)})"
        call = getattr(sdk, name, None)
        if call is None:
            said.append(f"{ours}, which service.store.multipart calls, is gone from the SDK.")
            continue
        signature = inspect.signature(call)
        positional = ["self", *(word for word in given if not word.endswith("="))]
        named = {word.removesuffix("=") for word in given if word.endswith("=")}
        try:
            signature.bind(*positional, **dict.fromkeys(named))
        except TypeError as error:
            said.append(f"{ours} cannot be called any more: {error}.")
            continue
        if list(signature.parameters)[: len(positional)] != positional:
            said.append(f"{ours} has other parameters now: {signature}.")
    return said


def test_each_call_is_what_it_was() -> None:
    said = changed(Minio, CALLS)
    assert not said, f"minio {minio.__version__}: {' '.join(said)}"


def test_no_other_private_call_is_made() -> None:
    """All of the store is looked at: another call belongs into the table above."""
    made = {
        node.func.attr
        for path in Path(multipart.__file__).parent.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and "client" in ast.unparse(node.func.value)
        and node.func.attr.startswith("_")
    }
    assert made == set(CALLS)


class _Another:
    """The calls of a release that changed four of them and dropped one."""

    def _create_multipart_upload(self, region: str, *names: str, **more: object) -> None: ...

    def _list_parts(self, bucket_name: str, object_name: str, upload_id: str) -> None: ...

    def _complete_multipart_upload(
        self, bucket_name: str, object_name: str, upload_id: str, parts: list[str], checksum: str
    ) -> None: ...

    def _list_multipart_uploads(self, bucket_name: str, key_marker: str) -> None: ...


def test_a_change_is_said() -> None:
    other, narrower, wider, gone, unpaged = changed(_Another, CALLS)
    assert "_create_multipart_upload" in other
    assert "has other parameters now" in other
    assert "_list_parts" in narrower
    assert "unexpected keyword argument 'part_number_marker'" in narrower
    assert "_complete_multipart_upload" in wider
    assert "missing a required argument: 'checksum'" in wider
    assert "_abort_multipart_upload" in gone
    assert "is gone" in gone
    assert "_list_multipart_uploads" in unpaged


def test_the_dependency_ends_before_the_next_minor_release() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    (wanted,) = [line for line in listed if line.startswith("minio")]
    major, minor = minio.__version__.split(".")[:2]
    assert re.fullmatch(rf"minio>={major}\.{minor}(\.\d+)?,<{major}\.{int(minor) + 1}", wanted)
