"""The models that Revisage knows by name.

Within one task `auto` takes the first that is installed. The embedded models come first: what others
published is used when it is asked for by name. Their weights stay where their authors put them, and
`revisage models pull` gets them from there; sizes and sha256 are as several independent lists give them.
"""

from revisage.zoo.spec import ModelSpec

_GFPGAN = "https://github.com/TencentARC/GFPGAN/releases/download"
_REAL_ESRGAN = "https://github.com/xinntao/Real-ESRGAN/releases/download"
_TORCHVISION = "https://download.pytorch.org/models"

_RESEARCH = "non-commercial research"  # as the data sets they were trained on; the cards say more
_IMAGENET = "code BSD-3-Clause; trained on ImageNet"

# Name, task, size, scale, version, licence; then the rest by name.
# fmt: off
_ALL = (
    ModelSpec("revisage-face-256", "face", 256, 1, "8", _RESEARCH, bytes=21_325_379,
              sha256="a77a0667dd90970fb1ff6d12825967df1d83105c03d5460027b7823bf6093dad",
              description="restores one aligned face, 256 px, compact GFP-GAN"),
    ModelSpec("revisage-scene-x2", "scene", None, 2, "8", _RESEARCH, bytes=3_420_085, control="clean",
              same_size="revisage-scene-x1", int8="revisage-scene-x2-int8",
              sha256="4d569ba5de36e01963ee55d1f7feb024cf94ff9a09d668081a83d74055f72393",
              description="cleans and doubles a whole photo, as strongly as told"),
    ModelSpec("revisage-scene-x1", "scene", None, 1, "8", _RESEARCH, bytes=2_483_951, control="clean",
              int8="revisage-scene-x1-int8",
              sha256="daed615bbeba2ab10ea6e8b1f1e4244db9ff7f70445dbdf8c7eb74f550088032",
              description="cleans a whole photo at its own size, as strongly as told"),
    ModelSpec("revisage-scene-x2-int8", "scene", None, 2, "8", _RESEARCH, bytes=1_783_523, control="clean",
              sha256="cf56b590eabee737157f02ffd859ecc4014609f177a827fe301b0cca7b018e2a",
              description="the same in 8-bit integers, taken by itself where it is quicker"),
    ModelSpec("revisage-scene-x1-int8", "scene", None, 1, "8", _RESEARCH, bytes=1_286_733, control="clean",
              sha256="bed7d356d83b1230f4a6f260fd590300e9b24d492e8ea4716004f479ca4e33f0",
              description="the same in 8-bit integers, taken by itself where it is quicker"),
    ModelSpec("revisage-finder", "finder", None, None, "2", _RESEARCH, bytes=596_829,
              sha256="9fa54aa68000464f47a63bd1bcab54c3109ab81fe6d8b684f272b9541d9b7b5c",
              description="finds faces and five landmarks, also in old photos"),
    ModelSpec("revisage-damage", "damage", None, None, "1", _RESEARCH, bytes=1_872_566,
              sha256="c67b03d56860955019041ebda4f68994704e219f7d754895751413ab1ce5339d",
              description="marks scratches, creases, specks and other damage, for --repair"),
    ModelSpec("revisage-tone", "tone", None, None, "1", _RESEARCH, bytes=407_746,
              sha256="73bbcd5046a50864391a8cba4a8f424061e70b945e87d8d9c4663b8965d220ef",
              description="estimates how a photo has faded, for --colour revive"),
    ModelSpec("revisage-identity", "identity", 256, None, "1", _RESEARCH, bytes=2_003_327,
              sha256="d5ef77a3d8387a812561d74b160613b3f0d998923afa39b8e3358143b548050a",
              description="tells how far a restoration moves a face"),
    ModelSpec("revisage-expression", "expression", 256, None, "1", _RESEARCH, bytes=949_448,
              sha256="b31d8f66cacf85fc8ced2d32b3566d2b7ba7ad18abcf7a11fdecb2c827370c31",
              description="recognises the basic expressions, for expression_changed"),
    ModelSpec("progressive-upscale", "face", 16, 8, "2", _RESEARCH, bytes=1_477_107, framing="whole",
              sha256="d7d3121fe58fd199f0ad6e95cc6f7dfea6df464326bfa6ae921ead2a55985895",
              description="enlarges a 16 px picture of one face to 128 px, with --aligned"),
    ModelSpec("progressive-restore", "face", 128, 1, "2", _RESEARCH, bytes=1_753_060, framing="whole",
              sha256="10eab9f454f79b4b2db65877e531cf8e3ecdd218672974f8dcf58b2e0cd7c60e",
              description="restores a picture of one face at 128 px, with --aligned"),
    ModelSpec("gfpgan-1.4", "face", 512, 1, "1.4", "code Apache-2.0", bytes=348_632_874,
              checkpoint="GFPGANv1.4.pth", url=f"{_GFPGAN}/v1.3.0/GFPGANv1.4.pth",
              sha256="e2cd4703ab14f4d01fd1383a8a8b266f9a5833dacee8e6a79d3bf21a1b6be5ad",
              description="GFP-GAN as published: invents fine detail, 512 px"),
    ModelSpec("gfpgan-1.3", "face", 512, 1, "1.3", "code Apache-2.0", bytes=348_632_874,
              checkpoint="GFPGANv1.3.pth", url=f"{_GFPGAN}/v1.3.0/GFPGANv1.3.pth",
              sha256="c953a88f2727c85c3d9ae72e2bd4846bbaf59fe6972ad94130e23e7017524a70",
              description="GFP-GAN as published, the release before 1.4, 512 px"),
    ModelSpec("realesrgan-x2plus", "scene", None, 2, "0.2.1", "code BSD-3-Clause", bytes=67_061_725,
              checkpoint="RealESRGAN_x2plus.pth", url=f"{_REAL_ESRGAN}/v0.2.1/RealESRGAN_x2plus.pth",
              sha256="49fafd45f8fd7aa8d31ab2a22d14d91b536c34494a5cfe31eb5d89c2fa266abb",
              description="Real-ESRGAN as published: doubles, large and slow"),
    ModelSpec("realesrgan-x4plus", "scene", None, 4, "0.1.0", "code BSD-3-Clause", bytes=67_040_989,
              checkpoint="RealESRGAN_x4plus.pth", url=f"{_REAL_ESRGAN}/v0.1.0/RealESRGAN_x4plus.pth",
              sha256="4fa0d38905f75ac06eb49a7951b426670021be3018265fd191d2125df9d682f1",
              description="Real-ESRGAN as published: four times the size, large and slow"),
    ModelSpec("realesr-general-x4v3", "scene", None, 4, "0.2.5.0", "code BSD-3-Clause", bytes=4_885_111,
              twin="realesr-general-wdn-x4v3", checkpoint="realesr-general-x4v3.pth",
              url=f"{_REAL_ESRGAN}/v0.2.5.0/realesr-general-x4v3.pth",
              sha256="8dc7edb9ac80ccdc30c3a5dca6616509367f05fbc184ad95b731f05bece96292",
              description="Real-ESRGAN's compact network as published, denoises strongly"),
    ModelSpec("realesr-general-wdn-x4v3", "scene", None, 4, "0.2.5.0", "code BSD-3-Clause", bytes=4_885_111,
              twin="realesr-general-x4v3", checkpoint="realesr-general-wdn-x4v3.pth",
              url=f"{_REAL_ESRGAN}/v0.2.5.0/realesr-general-wdn-x4v3.pth",
              sha256="1641f8c4464b9f097c9fdda5589273713f67cf59f3d909e0bd688f0cee269dca",
              description="its twin that keeps noise; realesr-general-x4v3:0.3 mixes the two"),

    # Weights made elsewhere that metrics and losses look through: PyTorch checkpoints, and numpy archives.

    ModelSpec("vgg19", "features", None, None, "1", _IMAGENET, file="vgg19-dcbb9e9d.pth", bytes=574_673_361,
              url=f"{_TORCHVISION}/vgg19-dcbb9e9d.pth",
              sha256="dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
              description="VGG-19 of torchvision, for the perceptual loss"),
    ModelSpec("vgg16", "features", None, None, "1", _IMAGENET, file="vgg16-397923af.pth", bytes=553_433_881,
              url=f"{_TORCHVISION}/vgg16-397923af.pth",
              sha256="397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
              description="VGG-16 of torchvision, for lpips_vgg"),
    ModelSpec("alexnet", "features", None, None, "1", _IMAGENET, file="alexnet-owt-7be5be79.pth",
              bytes=244_408_911, url=f"{_TORCHVISION}/alexnet-owt-7be5be79.pth",
              sha256="7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
              description="AlexNet of torchvision, for lpips_alex"),
    ModelSpec("squeezenet", "features", None, None, "1", _IMAGENET, file="squeezenet1_1-b8a52dc0.pth",
              bytes=4_958_839, url=f"{_TORCHVISION}/squeezenet1_1-b8a52dc0.pth",
              sha256="b8a52dc049b60e4b6ab68ad0df457362afab8b6304b2febdc1650a5dab4d7e7b",
              description="SqueezeNet 1.1 of torchvision, for lpips_squeeze"),
    # A copy for machines that the published file cannot be brought to.
    ModelSpec("squeezenet-16", "features", None, None, "1", _IMAGENET, file="squeezenet1_1.npz",
              bytes=1_351_376, sha256="a939c1b3b2ed67d6f0f9089250d18bc75e0e6f89a8627246cb4f836171c4bf04",
              description="the same in 16 bits as a numpy archive, taken where squeezenet is not there"),
    ModelSpec("inception", "features", None, None, "1", "Apache-2.0; trained on ImageNet",
              file="weights-inception-2015-12-05-6726825d.pth", bytes=95_628_359,
              url="https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
              "weights-inception-2015-12-05-6726825d.pth",
              sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
              description="Inception of the first FID, as torch-fidelity ported it, for fid and kid"),
    ModelSpec("mobilefacenet", "features", None, None, "1",
              "none stated; trained on CASIA-WebFace, non-commercial research",
              file="mobilefacenet_068.ckpt", bytes=4_130_855,
              url="https://raw.githubusercontent.com/Xiaoccer/MobileFaceNet_Pytorch/"
              "9c6e162647edf1bdc1d194f305d2030c79bf4613/model/best/068.ckpt",
              sha256="e839247cdbdfc023fb7cadeaf53a4549d50c8fc24ad154c02e35920ea8910d99",
              description="small face embedding, for degrees, frechet_identity and the identity loss"),
    # Published with other names of its layers; this archive has timm's.
    ModelSpec("edgeface", "features", None, None, "1",
              "code BSD-3-Clause (Idiap); trained on WebFace, non-commercial research",
              file="edgeface_xs.npz", bytes=2_210_164,
              sha256="2a2cd3a8eee5fc715fda41b75144d30ec35428590a5bc0c54ea220f92a4a777e",
              description="EdgeFace-XS as timm names its layers, in 16 bits, for degrees_edgeface and the "
              "identity loss"),
    ModelSpec("niqe", "features", None, None, "1", "Apache-2.0", file="niqe_pris_params.npz", bytes=11_850,
              url="https://raw.githubusercontent.com/XPixelGroup/BasicSR/v1.4.2/basicsr/metrics/niqe_pris_params.npz",
              sha256="2a7c182a68c9e7f1b2e2e5ec723279d6f65d912b6fcaf37eb2bf03d7367c4296",
              description="statistics of pristine photos, for niqe"),
    # The next two are published only as bzip2 archives, which `pull` does not unpack.
    ModelSpec("dlib-face", "features", None, None, "1", "CC0-1.0",
              file="dlib_face_recognition_resnet_model_v1.dat", bytes=22_466_066,
              sha256="55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
              description="dlib's face embedding, from dlib.net/files, unpacked, for degrees_dlib"),
    ModelSpec("dlib-landmarks", "features", None, None, "1", "trained on iBUG 300-W, no commercial use",
              file="shape_predictor_68_face_landmarks.dat", bytes=99_693_937,
              sha256="fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f",
              description="dlib's predictor of 68 landmarks, from dlib.net/files, unpacked, "
              "for `prepare --landmarks dlib`"),
    ModelSpec("fan-landmarks", "features", None, None, "1", "code BSD-3-Clause; trained on 300W-LP, research",
              file="2DFAN4-cd938726ad.zip", bytes=96_316_515,
              url="https://www.adrianbulat.com/downloads/python-fan/2DFAN4-cd938726ad.zip",
              sha256="cd938726adb1f15f361263cce2db9cb820c42585fa8796ec72ce19107f369a46",
              description="FAN, 68 landmarks, as the library face-alignment publishes it, "
              "for `prepare --landmarks fan`"),
    # No public list gives its sha256, so `pull` could not check it.
    ModelSpec("arcface-resnet18", "features", None, None, "1", "none stated", file="arcface_resnet18.pth",
              description="GFP-GAN's face embedding, from its release v0.1.0 on GitHub, for degrees_arcface"),
)
# fmt: on

CATALOGUE: dict[str, ModelSpec] = {spec.name: spec for spec in _ALL}
