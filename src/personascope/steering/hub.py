"""Publish directions on the Hugging Face hub, and fetch them by commit.

    commit = push_directions({"honesty": direction}, "me/directions")
    pull_directions("me/directions", revision=commit)["honesty"]

A repository holds NAME.safetensors and NAME.json of each direction, as `Direction.save` writes them, and a README.md
with the card of them all. Nothing else is fetched, so no code and no pickle comes along.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi, errors, is_offline_mode
from huggingface_hub.hf_api import RepoFile

from personascope.direction import Direction
from personascope.errors import DirectionError, EndpointError, FileFormatError, nearest
from personascope.files import safe_child
from personascope.steering.direction_card import MARK, direction_card
from personascope.steering.offset_files import card_text

_ENDINGS = (".safetensors", ".json")
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_LARGEST = 1 << 22
"""Bytes of the largest file that is taken for a direction's: 4 MiB, a million numbers."""
_REFUSED = {
    401: ("It does not know who is asking.", "Log in with `hf auth login`, or pass token=."),
    403: ("The token may not do this.", "Use a token with write access to that repository."),
    404: ("There is no such repository, or it is private.", "Check its name, or pass a token that may read it."),
    412: ("Somebody else changed the repository in the meantime.", "Push again."),
}
Token = str | bool | None


def push_directions(
    directions: Mapping[str, Direction],
    repo_id: str,
    *,
    private: bool | None = None,
    message: str = "Directions",
    token: Token = None,
    endpoint: str | None = None,
) -> str:
    """Upload directions in one commit, beside those that the repository has; its card then lists all of them.

    Args:
        directions: by name; a name is a file name, and replaces a direction of that name.
        repo_id: "owner/name"; made where there is none.
        private: whether a new repository is private; None follows the owner's setting.
        message: of the commit.
        token: a token with write access; by default the one of `hf auth login`. It is sent to the hub and goes nowhere
            else: not into the repository, not into an error.
        endpoint: address of a hub other than huggingface.co.

    Returns:
        The hash of the commit: the `revision` to pull.

    Raises:
        DirectionError: no directions, `extra` that JSON cannot hold, or the repository has a README of another kind.
        UnsafePathError: a name that cannot be a file name.
        EndpointError: the hub cannot be reached or refused; the cause says which.
    """
    files = _files(directions)
    api = HfApi(endpoint=endpoint, token=token)
    with _explained(repo_id):
        api.create_repo(repo_id, private=private, exist_ok=True)
        head, present = _listing(api, repo_id, None)
        if "README.md" in present:
            readme = Path(api.hf_hub_download(repo_id, "README.md", revision=head))
            if MARK not in readme.read_text(encoding="utf-8", errors="replace").splitlines():
                raise DirectionError(
                    f"{repo_id} has a README that is not a card of directions.",
                    "Pushing would replace it.",
                    "Push directions to a repository of their own.",
                )
        others = [name for name in _pairs(present) if name not in directions]
        kept = _fetched(api, repo_id, head, others, present)
        files["README.md"] = direction_card({**kept, **directions}, repo_id).encode()
        operations = [CommitOperationAdd(path, content) for path, content in files.items()]
        return str(api.create_commit(repo_id, operations, commit_message=message, parent_commit=head).oid)


def pull_directions(
    repo_id: str,
    *,
    revision: str | None = None,
    names: Collection[str] | None = None,
    token: Token = None,
    cache_dir: Path | None = None,
    endpoint: str | None = None,
) -> dict[str, Direction]:
    """Fetch directions of a repository, through the hub's own cache.

    Args:
        repo_id: "owner/name".
        revision: a commit hash pins what is fetched; a branch or tag may move. By default the main branch as it is now.
        names: those to fetch; None for all.
        token: by default the one of `hf auth login`.
        cache_dir: the hub's cache by default.
        endpoint: address of a hub other than huggingface.co.

    Returns:
        The directions by name. With HF_HUB_OFFLINE=1 they come from the cache, as they were when last pulled.

    Raises:
        DirectionError: the repository has no direction of a name that was asked for.
        EndpointError: the hub cannot be reached, has no such repository or revision, or refused.
        FileFormatError: it holds no directions, or a damaged one.
    """
    api = HfApi(endpoint=endpoint, token=token)
    with _explained(repo_id):
        if is_offline_mode():
            return _cached(api, repo_id, revision, names, cache_dir)
        commit, present = _listing(api, repo_id, revision)
        wanted = _wanted(repo_id, names, _pairs(present))
        return _fetched(api, repo_id, commit, wanted, present, revision or "main", cache_dir)


def _files(directions: Mapping[str, Direction]) -> dict[str, bytes]:
    if not directions:
        raise DirectionError("No directions to push.", "", "Pass them by name, e.g. {'honesty': direction}.")
    with tempfile.TemporaryDirectory() as folder:
        for name, direction in directions.items():
            card_text(direction)  # a clear error for what JSON cannot hold
            direction.save(safe_child(Path(folder), name))
        return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def _listing(api: HfApi, repo_id: str, revision: str | None) -> tuple[str, dict[str, int]]:
    """The commit that a revision stands for, and the sizes of the files at the top of the repository."""
    commit = str(api.repo_info(repo_id, revision=revision).sha)
    entries = api.list_repo_tree(repo_id, revision=commit)
    return commit, {entry.path: entry.size for entry in entries if isinstance(entry, RepoFile)}


def _pairs(paths: Collection[str]) -> list[str]:
    """Names of which both files are there; what the hub lists is not trusted to be names."""
    stems = [path.removesuffix(_ENDINGS[0]) for path in sorted(paths) if path.endswith(_ENDINGS[0])]
    return [stem for stem in stems if stem + _ENDINGS[1] in paths and _PLAIN.fullmatch(stem)]


def _wanted(repo_id: str, names: Collection[str] | None, there: list[str]) -> list[str]:
    if not there:
        raise FileFormatError(
            f"{repo_id} holds no directions.", "It has no NAME.safetensors beside NAME.json.", "Check its name."
        )
    missing = [name for name in names or () if name not in there]
    if missing:
        raise DirectionError(
            f"{repo_id} has no direction {missing[0]!r}.{nearest(missing[0], there)}",
            f"It has {', '.join(there[:20])}.",
            "Ask for one of those.",
        )
    return there if names is None else list(names)


def _fetched(
    api: HfApi,
    repo_id: str,
    commit: str,
    names: list[str],
    present: Mapping[str, int],
    revision: str | None = None,
    cache_dir: Path | None = None,
) -> dict[str, Direction]:
    """Download the files of these directions, and nothing else, and read them."""
    paths = [name + ending for name in names for ending in _ENDINGS]
    large = [path for path in paths if present[path] > _LARGEST]
    if large:
        raise FileFormatError(
            f"{repo_id}: {large[0]} is no direction.", f"It has {present[large[0]]} bytes.", "Name those to fetch."
        )
    if not paths:
        return {}
    # by the name of the revision, so that the cache knows offline which commit it stood for
    folder = Path(
        api.snapshot_download(repo_id, revision=revision or commit, allow_patterns=paths, cache_dir=cache_dir)
    )
    if folder.name != commit:
        raise EndpointError(f"{repo_id} changed while it was read.", "", "Pull again, or pull a commit.")
    return {name: _loaded(repo_id, folder, name) for name in names}


def _cached(
    api: HfApi, repo_id: str, revision: str | None, names: Collection[str] | None, cache_dir: Path | None
) -> dict[str, Direction]:
    patterns = [name + ending for name in names or "*" for ending in _ENDINGS]
    folder = Path(
        api.snapshot_download(
            repo_id, revision=revision, allow_patterns=patterns, cache_dir=cache_dir, local_files_only=True
        )
    )
    there = _pairs([path.name for path in folder.iterdir()])
    return {name: _loaded(repo_id, folder, name) for name in _wanted(repo_id, names, there)}


def _loaded(repo_id: str, folder: Path, name: str) -> Direction:
    try:
        return Direction.load(folder / name)
    except FileFormatError as error:
        raise FileFormatError(f"{repo_id}: {name} is not a saved direction.", error.cause, error.fix) from error


@contextlib.contextmanager
def _explained(repo_id: str) -> Iterator[None]:
    """Turn what the hub's library raises into an error that says what to do.

    The original is not chained: it holds the request with the token, and a server's text may repeat it.
    """
    try:
        yield
    except (errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError):
        cause = "The hub is switched off (HF_HUB_OFFLINE) or not reached, and the cache does not hold it."
        raise EndpointError(f"{repo_id} cannot be used.", cause, "Go online once; pinned commits stay.") from None
    except errors.RevisionNotFoundError:
        raise EndpointError(f"{repo_id} has no such revision.", "", "Name a commit, branch or tag of it.") from None
    except errors.HfHubHTTPError as error:
        status = 404 if isinstance(error, errors.RepositoryNotFoundError) else error.response.status_code
        cause, fix = _REFUSED.get(status, (f"It answered with HTTP status {status}.", "Try again later."))
        raise EndpointError(f"The hub refused {repo_id}.", cause, fix) from None
    except errors.HFValidationError as error:
        raise EndpointError(f"{repo_id!r} is no name of a repository.", str(error), 'Use "owner/name".') from None
    except (OSError, ValueError, LookupError, errors.HTTPError) as error:  # type: ignore[attr-defined]
        kind = type(error).__name__
        raise EndpointError(f"The hub was not reached for {repo_id}.", f"{kind}.", "Check the network.") from None
