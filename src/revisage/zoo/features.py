"""Weights made elsewhere that metrics and losses look through: the catalogue's models of the task "features".

The files are PyTorch checkpoints (NIQE's is a numpy archive) and stay where their authors put them. Each
sha256 is as several independent public lists give it; the first digits of torchvision's and
torch-fidelity's are part of the file names.
"""

from revisage.zoo.spec import ModelSpec

_TORCHVISION = "https://download.pytorch.org/models"
_IMAGENET = "code BSD-3-Clause; trained on ImageNet"


def _features(
    name: str,
    about: str,
    *,
    file: str,
    licence: str,
    url: str | None = None,
    sha256: str | None = None,
    count: int | None = None,
) -> ModelSpec:
    return ModelSpec(
        name=name,
        task="features",
        size=None,
        scale=None,
        version="1",
        licence=licence,
        file=file,
        url=url,
        sha256=sha256,
        bytes=count,
        description=about,
    )


_ALL = (
    _features(
        "vgg19",
        "VGG-19 of torchvision, for the perceptual loss",
        file="vgg19-dcbb9e9d.pth",
        licence=_IMAGENET,
        url=f"{_TORCHVISION}/vgg19-dcbb9e9d.pth",
        sha256="dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
        count=574_673_361,
    ),
    _features(
        "vgg16",
        "VGG-16 of torchvision, for lpips_vgg",
        file="vgg16-397923af.pth",
        licence=_IMAGENET,
        url=f"{_TORCHVISION}/vgg16-397923af.pth",
        sha256="397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        count=553_433_881,
    ),
    _features(
        "alexnet",
        "AlexNet of torchvision, for lpips_alex",
        file="alexnet-owt-7be5be79.pth",
        licence=_IMAGENET,
        url=f"{_TORCHVISION}/alexnet-owt-7be5be79.pth",
        sha256="7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
        count=244_408_911,
    ),
    _features(
        "squeezenet",
        "SqueezeNet 1.1 of torchvision, for lpips_squeeze",
        file="squeezenet1_1-b8a52dc0.pth",
        licence=_IMAGENET,
        url=f"{_TORCHVISION}/squeezenet1_1-b8a52dc0.pth",
        sha256="b8a52dc049b60e4b6ab68ad0df457362afab8b6304b2febdc1650a5dab4d7e7b",
        count=4_958_839,
    ),
    # A copy for machines that the published file cannot be brought to.
    _features(
        "squeezenet-16",
        "the same in 16 bits as a numpy archive, taken where squeezenet is not there",
        file="squeezenet1_1.npz",
        licence=_IMAGENET,
        sha256="a939c1b3b2ed67d6f0f9089250d18bc75e0e6f89a8627246cb4f836171c4bf04",
        count=1_351_376,
    ),
    _features(
        "inception",
        "Inception of the first FID, as torch-fidelity ported it, for fid and kid",
        file="weights-inception-2015-12-05-6726825d.pth",
        licence="Apache-2.0; trained on ImageNet",
        url="https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
        "weights-inception-2015-12-05-6726825d.pth",
        sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
        count=95_628_359,
    ),
    _features(
        "mobilefacenet",
        "small face embedding, for degrees, frechet_identity and the identity loss",
        file="mobilefacenet_068.ckpt",
        licence="none stated; trained on CASIA-WebFace, non-commercial research",
        url="https://raw.githubusercontent.com/Xiaoccer/MobileFaceNet_Pytorch/"
        "9c6e162647edf1bdc1d194f305d2030c79bf4613/model/best/068.ckpt",
        sha256="e839247cdbdfc023fb7cadeaf53a4549d50c8fc24ad154c02e35920ea8910d99",
        count=4_130_855,
    ),
    # Published with other names of its layers; this archive has timm's.
    _features(
        "edgeface",
        "EdgeFace-XS as timm names its layers, in 16 bits, for degrees_edgeface and the identity loss",
        file="edgeface_xs.npz",
        licence="code BSD-3-Clause (Idiap); trained on WebFace, non-commercial research",
        sha256="2a2cd3a8eee5fc715fda41b75144d30ec35428590a5bc0c54ea220f92a4a777e",
        count=2_210_164,
    ),
    _features(
        "niqe",
        "statistics of pristine photos, for niqe",
        file="niqe_pris_params.npz",
        licence="Apache-2.0",
        url="https://raw.githubusercontent.com/XPixelGroup/BasicSR/v1.4.2/basicsr/metrics/niqe_pris_params.npz",
        sha256="2a7c182a68c9e7f1b2e2e5ec723279d6f65d912b6fcaf37eb2bf03d7367c4296",
        count=11_850,
    ),
    # Published only as a bzip2 archive, which `pull` does not unpack.
    _features(
        "dlib-face",
        "dlib's face embedding, from dlib.net/files, unpacked, for degrees_dlib",
        file="dlib_face_recognition_resnet_model_v1.dat",
        licence="CC0-1.0",
        sha256="55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
        count=22_466_066,
    ),
    # Likewise.
    _features(
        "dlib-landmarks",
        "dlib's predictor of 68 landmarks, from dlib.net/files, unpacked, for `prepare --landmarks dlib`",
        file="shape_predictor_68_face_landmarks.dat",
        licence="trained on iBUG 300-W, no commercial use",
        sha256="fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f",
        count=99_693_937,
    ),
    _features(
        "fan-landmarks",
        "FAN, 68 landmarks, as the library face-alignment publishes it, for `prepare --landmarks fan`",
        file="2DFAN4-cd938726ad.zip",
        licence="code BSD-3-Clause; trained on 300W-LP, research",
        url="https://www.adrianbulat.com/downloads/python-fan/2DFAN4-cd938726ad.zip",
        sha256="cd938726adb1f15f361263cce2db9cb820c42585fa8796ec72ce19107f369a46",
        count=96_316_515,
    ),
    # No public list gives its sha256, so `pull` could not check it.
    _features(
        "arcface-resnet18",
        "GFP-GAN's face embedding, from its release v0.1.0 on GitHub, for degrees_arcface",
        file="arcface_resnet18.pth",
        licence="none stated",
    ),
)

FEATURES: dict[str, ModelSpec] = {spec.name: spec for spec in _ALL}
