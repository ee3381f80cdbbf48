"""An authority for tests, certificates that it issues, and credentials that cannot sign."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from revisage.label import Credentials

NAME = "Test authority"
DAY = timedelta(days=1)

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True)
class Authority:
    """A test authority that issues certificates into files of a folder."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def root(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def issue(
        self,
        name: str,
        key: Key | None = None,
        *,
        days: tuple[int, int] = (-10, 10),
        usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.EMAIL_PROTECTION,
        ocsp: str | None = None,
        password: bytes | None = None,
    ) -> Credentials:
        """A certificate valid from and to so many days from now, and its key."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        builder = _certificate(name, NAME, key, days)
        builder = (
            builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
            )
        )
        if ocsp:
            at = x509.AccessDescription(
                AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(ocsp)
            )
            builder = builder.add_extension(x509.AuthorityInformationAccess([at]), critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        paths = self.folder / f"{name}.pem", self.folder / f"{name}.key.pem"
        paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + self.root)
        paths[1].write_bytes(pem(key, password))
        paths[1].chmod(0o600)
        return Credentials(*paths)


def _certificate(name: str, issuer: str, key: Key, days: tuple[int, int]) -> x509.CertificateBuilder:
    def named(text: str) -> x509.Name:
        organisation = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Museum")
        return x509.Name([organisation, x509.NameAttribute(NameOID.COMMON_NAME, text)])

    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder(named(issuer), named(name), key.public_key(), x509.random_serial_number())
        .not_valid_before(now + days[0] * DAY)
        .not_valid_after(now + days[1] * DAY)
    )


def _usage(*, digital_signature: bool = False, key_cert_sign: bool = False) -> x509.KeyUsage:
    others = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False
    )
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=key_cert_sign,
        encipher_only=False,
        decipher_only=False,
        **others,
    )


def pem(key: Key, password: bytes | None = None) -> bytes:
    closed = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, closed)


def found_authority(folder: Path) -> Authority:
    """An authority that writes what it issues into `folder`."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _certificate(NAME, NAME, key, (-60, 60))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_usage(key_cert_sign=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Authority(folder, key, certificate)


def wrong_key(authority: Authority) -> Credentials:
    first, second = authority.issue("first"), authority.issue("second")
    return Credentials(first.certificate, second.key)


def junk(authority: Authority, which: str) -> Credentials:
    (authority.folder / "junk.pem").write_bytes(b"\x00\x01 no PEM at all")
    (authority.folder / "junk.pem").chmod(0o600)
    return dataclasses.replace(authority.issue("first"), **{which: authority.folder / "junk.pem"})


def self_signed(authority: Authority) -> Credentials:
    (authority.folder / "root.pem").write_bytes(authority.root)
    (authority.folder / "root.key.pem").write_bytes(pem(authority.key))
    (authority.folder / "root.key.pem").chmod(0o600)
    return Credentials(authority.folder / "root.pem", authority.folder / "root.key.pem")


BAD: dict[str, tuple[Callable[[Authority], Credentials], str]] = {
    "wrong key": (wrong_key, "is not the key of"),
    "no file": (lambda authority: Credentials(authority.folder / "none.pem", "none"), "cannot be read"),
    "no certificate": (lambda authority: junk(authority, "certificate"), "holds no PEM certificate"),
    "no key": (lambda authority: junk(authority, "key"), "holds no PEM private key"),
    "passphrase": (lambda authority: authority.issue("closed", password=b"secret"), "passphrase"),
    "expired": (lambda authority: authority.issue("old", days=(-20, -1)), "expired on"),
    "not yet": (lambda authority: authority.issue("young", days=(2, 9)), "is valid from"),
    "self-signed": (self_signed, "self-signed"),
    "for servers": (
        lambda authority: authority.issue("web", usage=ExtendedKeyUsageOID.SERVER_AUTH),
        "certificate is invalid",
    ),
    "kind of key": (
        lambda authority: authority.issue("coin", ec.generate_private_key(ec.SECP256K1())),
        "of a kind",
    ),
    "address": (lambda authority: dataclasses.replace(authority.issue("x"), timestamp="x"), "no address"),
    "no answer": (
        lambda authority: dataclasses.replace(authority.issue("x"), timestamp="http://127.0.0.1:9/"),
        r"is http://127.0.0.1:9/ to be reached\?",
    ),
}
"""Credentials that cannot sign, and what is said of them."""
