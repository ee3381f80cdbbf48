"""The signed label: a C2PA manifest inside the file that ties what was done to the file's every byte.

Source: C2PA Technical Specification 2.x: claims (10), actions (18.15), ingredients (18.16), validation (15).
The manifest holds no thumbnail, and no pixel of the original: of it only the name, the format, the SHA-256,
and what manifests it had itself.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from revisage.errors import RuntimeUnavailableError, SigningError, UsageError
from revisage.files import open_to_others, sha256
from revisage.label.xmp import DIGITAL_SOURCE_TYPE
from revisage.options import Credentials

if TYPE_CHECKING:
    from c2pa import Builder, Signer
    from cryptography.x509 import Certificate

_MIME = {name: f"image/{name.lower()}" for name in ("JPEG", "PNG", "WEBP", "TIFF", "HEIF", "AVIF")}

OFFLINE: dict[str, Any] = {
    "version": 1,
    "core": {"allowed_network_hosts": []},  # holds for all but a time stamp server that the caller names
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
    # A thumbnail would need the original's pixels decoded outside the process that is kept for that.
    "builder": {"thumbnail": {"enabled": False}},
}
"""Settings of every reader and builder."""

MODELS = "revisage.models"
SHA256 = "revisage.sha256"  #: parameters of our actions; C2PA lets a tool add its own to those it defines

_PARENT = "original"
_HINT = "how to get one that can be used is in docs/labels.md"
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}

# One gray pixel, to be signed for a trial.
_PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
)


@dataclass(frozen=True)
class Original:
    """The file that was restored."""

    data: bytes
    format: str  #: JPEG, PNG, WEBP, TIFF, BMP, HEIF or AVIF
    name: str  #: without folders; it is written into the manifest


@dataclass(frozen=True)
class Edit:
    """What a signature vouches for."""

    tool: str  #: name and version, as in `Label.tool`
    models: Mapping[str, Sequence[str]]
    """Name and version of each model that changed pixels, with the SHA-256 of its files in hex."""
    original: Original


def c2pa() -> ModuleType:
    """The package. Raises RuntimeUnavailableError when it is not installed."""
    try:
        import c2pa as module
    except ImportError as error:
        raise RuntimeUnavailableError(
            f'signed labels need another package ({error}): `pip install "revisage[sign]"`'
        ) from None
    library: ModuleType = module
    return library


def can_sign(format: str) -> bool:
    """Whether a file of this format can hold a signature; BMP cannot."""
    return format in _MIME


def check(credentials: Credentials) -> None:
    """Sign a picture of one pixel, so that what is wrong is told before the work. Raises SigningError,
    RuntimeUnavailableError."""
    sign(_PIXEL, "PNG", credentials, Edit("revisage", {}, Original(_PIXEL, "PNG", "trial")))


def certificate_digest(credentials: Credentials) -> str:
    """SHA-256 in hex of the certificate's file. Raises SigningError."""
    return sha256(_read(credentials.certificate))


def sign(data: bytes, format: str, credentials: Credentials, edit: Edit) -> bytes:
    """The encoded file with a signed manifest; pixels and other metadata stay as they are.

    This must be the last change: one more, of a single bit, and the signature no longer holds. Manifests of
    the original, valid or not, are kept as history.

    Raises:
        UsageError: the format cannot hold a signature.
        SigningError: certificate or key cannot be used, or the time stamp server did not answer.
        RuntimeUnavailableError: the package for it is not installed.
    """
    if format not in _MIME:
        raise UsageError(f"{format} cannot be signed: choose one of {', '.join(_MIME)}")
    library = c2pa()
    signed = io.BytesIO()
    with _signer(credentials) as signer:
        try:
            with _builder(edit) as builder:
                builder.sign(signer, _MIME[format], io.BytesIO(data), signed)
        except library.C2paError as error:
            hint = f"is {credentials.timestamp} to be reached?" if credentials.timestamp else _HINT
            raise SigningError(f"cannot sign with {credentials.certificate} ({error}); {hint}") from None
    return signed.getvalue()


def _builder(edit: Edit) -> Builder:
    """The manifest to be signed, with the original as its parent."""
    library = c2pa()
    original = edit.original
    format = _MIME.get(original.format, "image/bmp")
    title = original.name.encode("utf-8", "backslashreplace").decode()  # a name may be no UTF-8
    parent = {"title": title, "relationship": "parentOf", "label": _PARENT}
    context = library.Context.from_dict(OFFLINE)
    builder = library.Builder(_manifest(edit), context=context)
    try:
        builder.add_ingredient(parent, format, io.BytesIO(original.data))
    except library.C2paError:
        # Pillow reads more damaged files than the library does; nothing but a name and a hash can be said of
        # such an original.
        builder.close()
        bare = [parent | {"format": format}]
        builder = library.Builder(_manifest(edit) | {"ingredients": bare}, context=context)
    builder.set_intent(library.C2paBuilderIntent.EDIT)
    return builder


def _manifest(edit: Edit) -> dict[str, Any]:
    name, _, version = edit.tool.partition(" ")
    agent = {"name": name, "version": version} if version else {"name": name}
    opened = {
        "action": "c2pa.opened",
        "parameters": {"ingredientIds": [_PARENT], SHA256: sha256(edit.original.data)},
    }
    edited: dict[str, Any] = {"action": "c2pa.edited", "softwareAgent": agent}
    if edit.models:
        edited["digitalSourceType"] = DIGITAL_SOURCE_TYPE
        edited["parameters"] = {
            MODELS: [{"name": model, "sha256": list(digests)} for model, digests in edit.models.items()]
        }
    actions = {"label": "c2pa.actions.v2", "created": True, "data": {"actions": [opened, edited]}}
    return {"claim_generator_info": [agent], "assertions": [actions]}


def _signer(credentials: Credentials) -> Signer:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.x509 import load_pem_x509_certificates

    library = c2pa()
    if credentials.timestamp is not None and not credentials.timestamp.startswith(("http://", "https://")):
        raise SigningError(f"{credentials.timestamp} is no address of a time stamp server: http://…")
    try:
        certificates = load_pem_x509_certificates(_read(credentials.certificate))
        public = certificates[0].public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise SigningError(f"{credentials.certificate} holds no PEM certificate; {_HINT}") from None
    secret = _read(credentials.key)
    if open_to_others(Path(credentials.key)):
        raise SigningError(f"{credentials.key} is open to other accounts: `chmod 600 {credentials.key}`")
    try:
        key = serialization.load_pem_private_key(secret, None)
    except TypeError:
        raise SigningError(
            f"{credentials.key} asks for a passphrase: write it without one "
            "(openssl pkey -in KEY.pem -out OPEN.pem) where only you can read it"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise SigningError(f"{credentials.key} holds no PEM private key; {_HINT}") from None
    if public != key.public_key():
        raise SigningError(f"{credentials.key} is not the key of {credentials.certificate}: give its own")
    _check_dates(certificates[0], credentials.certificate)
    plain = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    # The library writes whatever else the file holds into the manifest, be it the key.
    chain = b"".join(c.public_bytes(serialization.Encoding.PEM) for c in certificates)
    algorithm = library.C2paSigningAlg[_algorithm(key, credentials.key)]
    try:
        return library.Signer.from_info(
            library.C2paSignerInfo(algorithm, chain, plain, credentials.timestamp)
        )
    except library.C2paError as error:
        raise SigningError(f"{credentials.certificate} cannot be used to sign ({error}); {_HINT}") from None


def _algorithm(key: object, path: str | Path) -> str:
    """The algorithm of C2PA (13.2.1) that goes with a key."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        return _CURVES[key.curve.name]
    if isinstance(key, rsa.RSAPrivateKey):
        return "PS256"
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ED25519"
    raise SigningError(f"{path} is of a kind that C2PA does not take: use one of P-256, Ed25519 or RSA")


def _check_dates(certificate: Certificate, path: str | Path) -> None:
    now = datetime.now(UTC)
    if now > certificate.not_valid_after_utc:
        raise SigningError(f"{path} expired on {certificate.not_valid_after_utc:%Y-%m-%d}: get it renewed")
    if now < certificate.not_valid_before_utc:
        raise SigningError(
            f"{path} is valid from {certificate.not_valid_before_utc:%Y-%m-%d} on: is the clock right?"
        )


def _read(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise SigningError(f"{path} cannot be read ({error.strerror or error})") from None
