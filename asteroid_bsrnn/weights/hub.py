"""Files from the Hugging Face hub: through its own client, then checked against the hash that the hub stated."""

import hashlib
import re
from pathlib import Path

import huggingface_hub
import requests
from asteroid import __version__ as host_version
from asteroid.utils import hub_utils
from huggingface_hub import constants, errors

from ..common.download import checksum
from ..common.errors import UserError, first_line
from ..models.family import adapters

FILES = (
    "pytorch_model.bin",
    "model.safetensors",
)  # the host's own name first, so that existing repositories work as ever
SUFFIXES = (".ckpt", ".pth", ".pt", ".th", ".bin", ".safetensors")  # of weights under other names


def hub_file(hub_id: str) -> Path:
    """Fetch a model's file from the hub, or take it from the client's cache: ours, or the only weights that are there.

    Args:
        hub_id: ``org/name``, or ``org/name@revision`` for a branch, tag or commit.

    Returns:
        The file in the cache.

    Raises:
        UserError: no network (and nothing cached), no such repository, revision or file, no access, or content whose
            hash is not the stated one (it is removed from the cache).
    """
    repo_id, _, revision = hub_id.partition("@")
    offline = not _reachable()
    try:
        for name in FILES:
            try:
                return _verified(_client_download(repo_id, name, revision or None, offline))
            except (errors.EntryNotFoundError, errors.LocalEntryNotFoundError) as error:
                if isinstance(error, errors.LocalEntryNotFoundError) and not offline:
                    raise
        if offline:
            raise UserError(
                f"cannot load {hub_id!r}: no connection to {constants.ENDPOINT} and nothing in the cache; is there a network?"
            )
        found = _foreign_files(repo_id, revision or None)
        if len(found) == 1:
            return _verified(_client_download(repo_id, found[0], revision or None, offline))
        there = f"; it has {', '.join(found)}: give the address of one of them" if found else ""
        raise UserError(f"the hub repository {hub_id!r} holds no model: expected is {' or '.join(FILES)}{there}")
    except errors.GatedRepoError:
        raise UserError(f"the hub repository {hub_id!r} needs an access token: log in with `hf auth login`") from None
    except errors.RevisionNotFoundError:
        raise UserError(f"the hub repository {repo_id!r} has no revision {revision!r}") from None
    except errors.RepositoryNotFoundError:
        raise UserError(f"there is no file and no public hub repository {repo_id!r}") from None
    except (errors.HfHubHTTPError, errors.LocalEntryNotFoundError, OSError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"cannot load {hub_id!r} from the hub: {first_line(error)}") from None
    except errors.HFValidationError as error:
        raise UserError(f"{hub_id!r} is no hub id: {first_line(error)}") from None
    except Exception as error:  # the client's HTTP library differs between its versions, and so do its errors
        if isinstance(error, ValueError) or not type(error).__module__.startswith(
            ("httpx", "httpcore", "requests", "urllib3")
        ):
            raise
        raise UserError(
            f"cannot load {hub_id!r} from the hub: the connection broke off; call again to continue"
        ) from None


def _client_download(repo_id: str, name: str, revision: str | None, offline: bool) -> str:
    return huggingface_hub.hf_hub_download(
        repo_id=repo_id,
        filename=name,
        cache_dir=hub_utils.get_cache_dir(),
        revision=revision,
        library_name="asteroid",
        library_version=host_version,
        local_files_only=offline,
    )


def _foreign_files(repo_id: str, revision: str | None) -> list[str]:
    """Names of the weights files of other implementations that a repository has."""
    suffixes = {*SUFFIXES, *(suffix for adapter in adapters() for suffix in adapter.suffixes)}
    try:
        about = huggingface_hub.HfApi(endpoint=constants.ENDPOINT).model_info(repo_id, revision=revision)
    except errors.HfHubHTTPError:
        return []
    names = [entry.rfilename for entry in about.siblings or ()]
    return sorted(name for name in names if Path(name).suffix.lower() in suffixes)


def _reachable() -> bool:
    """Whether the hub answers at all; its client would take many seconds to find out."""
    if constants.HF_HUB_OFFLINE:
        return False
    try:
        requests.head(constants.ENDPOINT, timeout=10, allow_redirects=False)
        return True
    except (requests.ConnectionError, requests.Timeout):
        return False


def _verified(path: str | Path) -> Path:
    """Check a cached file against its entity tag, the name of its blob: SHA-256, or git's SHA-1 of small files."""
    link, blob = Path(path), Path(path).resolve()
    if blob.parent.name == "blobs" and not _has_digest(blob, blob.name):
        link.unlink(missing_ok=True)
        blob.unlink(missing_ok=True)
        raise UserError(
            f"{link.name} from the hub is refused: its hash is not the {blob.name} that the hub stated; it was removed"
        )
    return link


def _has_digest(path: Path, digest: str) -> bool:
    if re.fullmatch(r"[0-9a-f]{64}", digest):
        return checksum.matches(path, f"sha256:{digest}")
    if re.fullmatch(r"[0-9a-f]{40}", digest):
        content = path.read_bytes()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() == digest
    return True  # a tag that is no hash states nothing
