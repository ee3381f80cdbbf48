"""Reading a signed label back: does the signature hold, who signed, and what does it say."""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from revisage.errors import UsageError
from revisage.label.signed import MODELS, OFFLINE, SHA256, c2pa

MARK = b"c2pa"  #: is in every manifest
_UNTRUSTED = "signingCredential.untrusted"

_STATES: dict[str, Literal["trusted", "valid"]] = {"Trusted": "trusted", "Valid": "valid"}


@dataclass(frozen=True)
class Earlier:
    """A manifest that a file had before: program, signer, and whether it held when it was taken over."""

    tool: str | None
    signer: str | None
    held: bool


@dataclass(frozen=True)
class Signature:
    """What the manifest of a file says, and whether it can be believed."""

    state: Literal["trusted", "valid", "invalid"]
    """trusted: nothing was changed since it was signed, and the certificate leads to one of the roots; valid:
    nothing was changed, but it is not known whether the certificate is the person's or the organisation's it
    names; invalid: file or manifest was changed, or cannot be read."""
    problems: tuple[str, ...] = ()  #: why it is invalid, in the library's words
    signer: str | None = None  #: name in the certificate; None where it cannot be read, as all that follows
    organisation: str | None = None  #: of the certificate
    time: str | None = None  #: of signing, by a time stamp server's clock, if it is to be believed
    tool: str | None = None  #: name and version of the program that signed
    actions: tuple[str, ...] = ()  #: what was done, in C2PA's terms, such as "c2pa.edited"
    source_types: tuple[str, ...] = ()  #: IPTC's terms of how the picture came about
    models: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Name, version and SHA-256 (hex) of each model, for files that Revisage signed."""
    original: str | None = None  #: SHA-256 (hex) of the restored file, where Revisage signed
    parent: str | None = None  #: name of the file that it was made from
    earlier: tuple[Earlier, ...] = ()  #: the manifests that the file had before, newest first


def signature(data: bytes, roots: bytes | None = None) -> Signature | None:
    """The signature of a file and whether it holds; None for a file without a manifest inside.

    `roots` are PEM certificates that are trusted to say who somebody is; without any, no signature is
    "trusted". Nothing is fetched: a manifest that lies elsewhere is none.

    Raises UsageError when `roots` are no certificates, RuntimeUnavailableError.
    """
    library = c2pa()
    try:
        with library.Reader(io.BytesIO(data), context=library.Context.from_dict(settings(roots))) as reader:
            store = json.loads(reader.json())
    except (library.C2paError.ManifestNotFound, library.C2paError.NotSupported):
        return None
    except library.C2paError as error:
        # A torn file that was never signed cannot be parsed either.
        if str(error).startswith("Remote") or MARK not in data:
            return None
        return Signature("invalid", (str(error),))
    try:
        return _said(store)
    except (KeyError, TypeError, AttributeError):  # anybody may sign anything
        return Signature("invalid", ("the manifest is not made as C2PA asks",))


def settings(roots: bytes | None) -> dict[str, Any]:
    """The library's for these roots. Raises UsageError when they are no certificates."""
    if roots is None:
        return OFFLINE
    from cryptography.x509 import load_pem_x509_certificates

    try:
        load_pem_x509_certificates(roots)
    except ValueError:
        raise UsageError(
            "the roots hold no PEM certificate: give a file that begins -----BEGIN CERTIFICATE"
        ) from None
    return OFFLINE | {"trust": {"user_anchors": roots.decode()}}


def _said(store: dict[str, Any]) -> Signature:
    manifests: dict[str, dict[str, Any]] = store["manifests"]
    label = store["active_manifest"]
    active = manifests[label]
    told = [said for said in active.get("assertions", ()) if said["label"].startswith("c2pa.actions")]
    actions = [action for said in told for action in said["data"]["actions"]]
    information = active.get("signature_info", {})
    models = [model for action in actions for model in action.get("parameters", {}).get(MODELS, ())]
    return Signature(
        state=_STATES.get(store["validation_state"], "invalid"),
        problems=tuple(dict.fromkeys(_problems(store.get("validation_results", {})))),
        signer=information.get("common_name"),
        organisation=information.get("issuer"),
        time=information.get("time"),
        tool=_tool(active),
        actions=tuple(action["action"] for action in actions),
        source_types=tuple(a["digitalSourceType"] for a in actions if "digitalSourceType" in a),
        models=tuple((model["name"], tuple(model["sha256"])) for model in models),
        original=next((a["parameters"][SHA256] for a in actions if SHA256 in a.get("parameters", {})), None),
        parent=_parent(active).get("title"),
        earlier=tuple(_earlier(manifests, active)),
    )


def _tool(manifest: dict[str, Any]) -> str | None:
    for information in manifest.get("claim_generator_info", ()):
        return f"{information['name']} {information.get('version', '')}".strip()
    return manifest.get("claim_generator")


def _earlier(manifests: dict[str, dict[str, Any]], manifest: dict[str, Any]) -> Iterator[Earlier]:
    """Along the chain of parents."""
    seen = set()
    while True:
        parent = _parent(manifest)
        label = parent.get("active_manifest")
        if label is None or label in seen or label not in manifests:
            return
        seen.add(label)
        manifest = manifests[label]
        held = not any(_problems(parent.get("validation_results", {})))
        yield Earlier(_tool(manifest), manifest.get("signature_info", {}).get("common_name"), held)


def _parent(manifest: dict[str, Any]) -> dict[str, Any]:
    found: Iterator[dict[str, Any]] = (
        i for i in manifest.get("ingredients", ()) if i.get("relationship") == "parentOf"
    )
    return next(found, {})


def _problems(results: dict[str, Any]) -> Iterator[str]:
    parts = [results.get("activeManifest", {})]
    parts += [delta["validationDeltas"] for delta in results.get("ingredientDeltas", ())]
    for part in parts:
        for failure in part.get("failure", ()):
            if failure["code"] != _UNTRUSTED:  # that is what tells "valid" from "trusted"
                yield f"{failure['code']}: {failure.get('explanation', '')}"
