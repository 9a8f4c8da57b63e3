"""Every format, mode and bit depth of a picture: a network sees what a person sees, or it is refused."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.transforms import Compose
from PIL import Image, PngImagePlugin, TiffImagePlugin

from clinical_qkt.data import bit_depth, pictures
from clinical_qkt.data.formats import ImageRefused
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.pictures import read_picture
from clinical_qkt.data.transforms import contract_transforms, reading

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (9, 7), dtype=np.uint8)
"""Nine rows, seven columns."""
COLOUR = RNG.integers(0, 256, (9, 7, 3), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (9, 7), dtype=np.uint16)
DEEP[0, :2] = 0, 65535


def saved(folder: Path, image: Image.Image, name: str = "a.png", **options: object) -> Path:
    image.save(folder / name, **options)
    return folder / name


def upright(values: np.ndarray) -> np.ndarray:
    """From width first, as MONAI has it, to rows first."""
    return np.moveaxis(values, 0, 1)


@pytest.fixture
def read(tmp_path):
    """What is read of a picture that is written first."""
    return lambda image, name="a.png", **options: read_picture(saved(tmp_path, image, name, **options))


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif"])
def test_eight_bits_are_taken_as_they_are_and_nothing_is_told(read, name):
    for array in (GREY, COLOUR):
        picture = read(Image.fromarray(array), name)
        assert np.array_equal(upright(picture.values), array) and picture.told == ()
        assert picture.shape == (3 if array.ndim == 3 else 1, 7, 9)
        assert picture.values.dtype == np.float32


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bits_are_scaled_by_their_depth(read, name):
    picture = read(Image.fromarray(DEEP), name)
    assert np.allclose(upright(picture.values), DEEP / 257.0, atol=1e-3)
    assert picture.told == ("16 bits, scaled by their depth",)


def test_a_network_sees_sixteen_bits_between_black_and_white(tmp_path):
    deep = RNG.integers(0, 65536, (16, 20), dtype=np.uint16)
    file = saved(tmp_path, Image.fromarray(deep))
    contract = InputContract(channels=1, spatial_size=[10, 8])
    seen = Compose(reading("display") + contract_transforms(contract))({"image": str(file)})["image"]
    blocks = deep.reshape(8, 2, 10, 2).mean((1, 3)) / 65535 * 2 - 1
    assert np.allclose(upright(seen[0].numpy()), blocks, atol=1e-4)


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_fewer_bits_in_sixteen_are_refused_unless_a_person_says_how_many(tmp_path, bits):
    values = (DEEP >> (16 - bits)).astype(np.uint16)
    for name in ("a.png", "a.tif"):
        file = saved(tmp_path, Image.fromarray(values), name)
        with pytest.raises(ImageRefused, match="lowest quarter") as refused:
            read_picture(file)
        assert "--bits 12" in refused.value.fix
        told = read_picture(file, bits)
        assert np.allclose(upright(told.values), values * (255 / (2**bits - 1)), atol=1e-3)
        with pytest.raises(ImageRefused, match="more than"):
            read_picture(file, bits - 1)


def test_a_dark_picture_of_sixteen_bits_is_one_where_a_person_says_so(tmp_path):
    file = saved(tmp_path, Image.fromarray((DEEP >> 6).astype(np.uint16)))
    assert read_picture(file, 16).values.max() < 4


def png(depth: int, colour: int, rows: list[bytes], *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG file by hand, for what Pillow does not write."""
    width = len(rows[0]) * 8 // (depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour])
    head = struct.pack(">IIBBBBB", width, len(rows), depth, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = [(b"IHDR", head), *chunks, (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(c)) + n + c + struct.pack(">I", zlib.crc32(n + c)) for n, c in parts
    )


def test_significant_bits_settle_whether_a_picture_is_dark(tmp_path):
    rows = [struct.pack(">4H", 0, 100, 2000, 4095)] * 3
    for chunk, taken in (((b"sBIT", b"\x10"), True), ((b"sBIT", b"\x0c"), False)):
        (tmp_path / "a.png").write_bytes(png(16, 0, rows, chunk))
        if taken:
            assert read_picture(tmp_path / "a.png").values.max() == pytest.approx(4095 / 257)
        else:
            with pytest.raises(ImageRefused, match="lowest quarter"):
                read_picture(tmp_path / "a.png")


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_few_bits_are_scaled_by_their_depth(tmp_path, depth):
    (tmp_path / "a.png").write_bytes(png(depth, 0, [b"\x00\xff", b"\xff\x00"]))
    picture = read_picture(tmp_path / "a.png")
    assert set(np.unique(picture.values)) == {0, 255} and str(depth) in picture.told[0]


def test_sixteen_bits_with_alpha_stay_grey(tmp_path):
    rows = [struct.pack(">4H", 0, 65535, 65535, 65535)] * 2
    (tmp_path / "a.png").write_bytes(png(16, 4, rows))
    picture = read_picture(tmp_path / "a.png")
    assert picture.shape == (1, 2, 2) and set(np.unique(picture.values)) == {0, 255}


def test_sixteen_bits_of_colour_lose_their_lower_eight_and_it_is_said(tmp_path):
    rows = [struct.pack(">6H", 0, 30000, 65535, 256, 512, 40000)] * 2
    (tmp_path / "a.png").write_bytes(png(16, 2, rows))
    picture = read_picture(tmp_path / "a.png")
    assert upright(picture.values)[0].tolist() == [[0, 117, 255], [1, 2, 156]]
    assert picture.told == ("16 bits a channel, of which the upper 8 are kept",)
    (tmp_path / "b.png").write_bytes(png(16, 2, [struct.pack(">3H", 0, 300, 4095)] * 2))
    with pytest.raises(ImageRefused, match="lowest quarter"):
        read_picture(tmp_path / "b.png")


def test_one_bit_is_black_and_white(read):
    picture = read(Image.fromarray(GREY > 100))
    assert np.array_equal(upright(picture.values), (GREY > 100) * 255.0)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.bmp"])
def test_a_palette_gives_its_colours_and_not_its_indices(read, name):
    image = Image.fromarray(GREY % 3, "L").convert("P")
    image.putpalette([250, 200, 200, 120, 20, 160, 0, 90, 10])
    picture = read(image, name)
    assert np.array_equal(
        upright(picture.values)[0, 0], [[250, 200, 200], [120, 20, 160], [0, 90, 10]][GREY[0, 0] % 3]
    )
    assert picture.shape[0] == 3 and "palette" in picture.told[0]


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_an_opaque_alpha_channel_is_dropped_and_another_refused(tmp_path, mode):
    image = Image.fromarray(GREY if mode == "LA" else COLOUR).convert(mode)
    picture = read_picture(saved(tmp_path, image))
    assert np.array_equal(upright(picture.values), GREY if mode == "LA" else COLOUR)
    assert "alpha" in picture.told[0]
    image.putpixel((3, 3), (*image.getpixel((3, 3))[:-1], 254))
    with pytest.raises(ImageRefused, match="transparent"):
        read_picture(saved(tmp_path, image))


def test_a_transparent_colour_that_no_pixel_has_is_no_transparency(tmp_path):
    even = Image.fromarray(GREY // 2 * 2)
    assert read_picture(saved(tmp_path, even, transparency=3)).shape[0] == 1
    with pytest.raises(ImageRefused, match="transparent"):
        read_picture(saved(tmp_path, even, transparency=int(GREY[0, 0] // 2 * 2)))
    deep = Image.fromarray(DEEP)
    with pytest.raises(ImageRefused, match="transparent"):
        read_picture(saved(tmp_path, deep, transparency=int(DEEP[0, 0])))


@pytest.mark.parametrize("name", ["a.jpg", "a.tif"])
def test_cmyk_becomes_what_pillow_makes_of_it(tmp_path, name):
    smooth = Image.fromarray(np.full((16, 16, 3), (200, 40, 90), np.uint8)).convert("CMYK")
    file = saved(tmp_path, smooth, name)
    with Image.open(file) as image:
        expected = np.asarray(image.convert("RGB"))
    assert np.array_equal(upright(read_picture(file).values), expected)
    assert abs(expected[3, 3].astype(int) - (200, 40, 90)).max() < 12


@pytest.mark.parametrize("orientation", range(1, 10))
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
def test_the_orientation_of_exif_is_applied_once(tmp_path, name, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    block = np.zeros((32, 48), np.uint8)
    block[:8, :16] = 255
    picture = read_picture(saved(tmp_path, Image.fromarray(block), name, exif=exif))
    turns = [
        lambda a: a,
        np.fliplr,
        lambda a: np.rot90(a, 2),
        np.flipud,
        np.transpose,
        lambda a: np.rot90(a, -1),
    ]
    turns += [lambda a: np.rot90(a, 2).T, lambda a: np.rot90(a), lambda a: a]
    assert abs(upright(picture.values) - turns[orientation - 1](block)).mean() < 2
    assert (picture.told != ()) == (1 < orientation < 9)


def test_white_is_zero_is_turned_also_where_pillow_does_not(tmp_path):
    for array in (GREY, DEEP):
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[262] = 0
        Image.fromarray(array).save(tmp_path / "a.tif", tiffinfo=tags)
        with Image.open(tmp_path / "a.tif") as image:
            assert image.tag_v2[262] == 0
        picture = read_picture(tmp_path / "a.tif")
        # Pillow writes 8 bits turned and 16 as they are
        expected = GREY if array is GREY else 255 - DEEP / 257.0
        assert np.allclose(upright(picture.values), expected, atol=1e-2)


def test_floating_point_from_0_to_1_is_black_to_white_and_all_else_is_refused(read):
    values = RNG.random((9, 7), np.float32)
    picture = read(Image.fromarray(values), "a.tif")
    assert np.allclose(upright(picture.values), values * 255, atol=1e-3) and "floating" in picture.told[0]
    for odd, reason in (
        (values * 255, "beyond 0 to 1"),
        (values - 0.5, "beyond"),
        (values * 0.2, "lowest quarter"),
        (values * np.nan, "not finite"),
    ):
        with pytest.raises(ImageRefused, match=reason):
            read(Image.fromarray(odd), "a.tif")


def test_integers_whose_white_nobody_knows_are_refused(read):
    for kind in ("int32", "int16"):
        with pytest.raises(ImageRefused, match="nobody knows which is white|below zero"):
            read(Image.fromarray(GREY.astype(kind).astype(np.int32)), "a.tif")


def test_several_pages_and_more_channels_than_colours_are_refused(tmp_path, read):
    more = [Image.fromarray(GREY)]
    for name in ("a.tif", "a.png"):
        with pytest.raises(ImageRefused, match="2 pages or frames"):
            read(Image.fromarray(GREY[::-1].copy()), name, save_all=True, append_images=more)
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[338] = 0
    Image.fromarray(COLOUR).convert("RGBX").save(tmp_path / "x.tif", tiffinfo=tags)
    with pytest.raises(ImageRefused, match="more channels"):
        read_picture(tmp_path / "x.tif")


def test_what_is_huge_is_told_from_what_is_damaged(tmp_path, monkeypatch):
    head = struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0)
    small = png(8, 0, [b"\0" * 64] * 2)
    at = small.index(b"IHDR")
    crc = struct.pack(">I", zlib.crc32(b"IHDR" + head))
    (tmp_path / "bomb.png").write_bytes(small[: at + 4] + head + crc + small[at + 21 :])
    with pytest.raises(ImageRefused, match="announces more than"):
        read_picture(tmp_path / "bomb.png")
    monkeypatch.setattr(pictures, "MAX_PIXELS", 62)
    with pytest.raises(ImageRefused, match="announces more than 62 pixels"):
        read_picture(saved(tmp_path, Image.fromarray(GREY)))
    whole = saved(tmp_path, Image.fromarray(COLOUR), "b.png").read_bytes()
    monkeypatch.undo()
    for part, reason in (
        (whole[:60], "truncated or damaged"),
        (b"words", "not an image"),
        (b"", "not an image: the file is empty"),
    ):
        (tmp_path / "b.png").write_bytes(part)
        with pytest.raises(ImageRefused, match=f"^{reason}$"):
            read_picture(tmp_path / "b.png")
    with pytest.raises(ImageRefused, match="^missing$"):
        read_picture(tmp_path / "absent.png")


def test_only_the_formats_of_the_list_are_opened_whatever_a_file_is_called(tmp_path):
    for kind in ("GIF", "PPM"):
        Image.fromarray(GREY).save(tmp_path / "a.png", format=kind)
        with pytest.raises(ImageRefused, match="not an image"):
            read_picture(tmp_path / "a.png")
    Image.fromarray(GREY).save(tmp_path / "b.png", format="BMP")
    assert read_picture(tmp_path / "b.png").shape == (1, 7, 9)


MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "I", "F"]


@settings(max_examples=150, deadline=None)
@given(
    mode=st.sampled_from(MODES),
    kind=st.sampled_from(["PNG", "JPEG", "TIFF", "BMP"]),
    seed=st.integers(0, 2**16),
    scale=st.sampled_from([1.0, 0.5, 1 / 16, 1 / 256]),
)
def test_a_picture_of_any_kind_is_what_pillow_shows_or_is_refused(tmp_path_factory, mode, kind, seed, scale):
    rng = np.random.default_rng(seed)
    smooth = np.asarray(Image.fromarray(rng.integers(0, 256, (3, 4, 3), dtype=np.uint8)).resize((24, 16)))
    if mode == "I;16":
        image = Image.fromarray((smooth[..., 0] * (257.0 * scale)).astype(np.uint16))
    elif mode in ("I", "F"):
        image = Image.fromarray((smooth[..., 0] * scale).astype(np.int32 if mode == "I" else np.float32))
    else:
        image = Image.fromarray(smooth).convert(mode)
    content = io.BytesIO()
    try:
        image.save(content, kind, **({"quality": 95} if kind == "JPEG" else {}))
    except OSError:
        return  # Pillow has no such file
    file = (
        tmp_path_factory.getbasetemp()
        / f"any.{ {'PNG': 'png', 'JPEG': 'jpg', 'TIFF': 'tif', 'BMP': 'bmp'}[kind] }"
    )
    file.write_bytes(content.getvalue())
    try:
        found = read_picture(file)
    except ImageRefused as e:
        dark = (mode == "I;16" and image.getextrema()[1] < 2**14) or (mode == "F" and np.max(image) < 0.25)
        assert dark or mode == "I" or (mode == "F" and image.getextrema()[1] > 1), str(e)
        return
    grey = mode in ("1", "L", "LA", "I;16", "F")
    assert found.shape == (1 if grey else 3, 24, 16) and 0 <= found.values.min() <= found.values.max() <= 255
    if mode == "I;16":
        expected = np.asarray(image) / 257.0
    elif mode == "F":
        expected = np.asarray(image) * 255.0
    else:
        expected = np.asarray(image.convert("L" if grey else "RGB"), np.float64)
    tolerance = 40 if kind == "JPEG" else 3 if mode == "YCbCr" else 0.51
    assert abs(upright(found.values) - expected).mean() <= tolerance


def test_a_transparent_colour_of_few_or_many_bits_is_found(tmp_path):
    four = [bytes(row) for row in RNG.integers(0, 256, (9, 4), dtype=np.uint8)]
    used = four[0][0] >> 4
    colour = RNG.integers(0, 256, (9, 7, 3), dtype=np.uint8).astype(">u2") * 256 + 7
    rows = [row.tobytes() for row in colour.astype(">u2")]
    for content in (
        png(4, 0, four, (b"tRNS", struct.pack(">H", used))),
        png(16, 2, rows, (b"tRNS", colour[3, 3].astype(">u2").tobytes())),
    ):
        (tmp_path / "a.png").write_bytes(content)
        with pytest.raises(ImageRefused, match="transparent in places"):
            read_picture(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes(png(16, 2, rows, (b"tRNS", b"\0\0" * 3)))
    kept = colour.any(2).all()
    assert kept and np.array_equal(upright(read_picture(tmp_path / "a.png").values), colour >> 8)


def bmp(bits, rows, palette):
    """A BMP file of nine rows, whose colours are written as many as they are."""
    colours = b"".join(bytes([*c, 0]) for c in palette)
    data = b"".join(row + b"\0" * (-len(row) % 4) for row in rows[::-1])
    start = 54 + len(colours)
    sizes = struct.pack("<IiiHHIIiiII", 40, 8, len(rows), 1, bits, 0, len(data), 1, 1, len(palette), 0)
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + sizes + colours + data


@pytest.mark.parametrize("bits", [4, 8])
def test_pixels_of_several_bits_are_never_read_as_one_bit(tmp_path, bits):
    """Pillow takes a palette of black and white for one bit a pixel."""
    rows = [bytes([1] * bits)] * 9
    (tmp_path / "a.bmp").write_bytes(bmp(bits, rows, [(0, 0, 0), (255, 255, 255)]))
    with pytest.raises(ImageRefused, match=f"{bits} bits whose short palette"):
        read_picture(tmp_path / "a.bmp")
    (tmp_path / "a.bmp").write_bytes(bmp(1, [b"\xa5"] * 9, [(0, 0, 0), (255, 255, 255)]))
    assert np.array_equal(
        upright(read_picture(tmp_path / "a.bmp").values)[0] // 255, [1, 0, 1, 0, 0, 1, 0, 1]
    )


def test_pixels_whose_colour_the_palette_lacks_are_damage_and_not_black(tmp_path):
    rows = [bytes(range(8))] * 9
    shades = [(9, 20 * i, 3) for i in range(8)]
    for kind, whole, short in (
        ("bmp", bmp(8, rows, shades), bmp(8, rows, shades[:7])),
        ("png", *(png(8, 3, rows, (b"PLTE", bytes(sum(p, ())))) for p in (shades, shades[:7]))),
    ):
        (tmp_path / f"a.{kind}").write_bytes(whole)
        assert upright(read_picture(tmp_path / f"a.{kind}").values)[0, 7, 1] == 140
        (tmp_path / f"a.{kind}").write_bytes(short)
        with pytest.raises(ImageRefused, match="its palette lacks"):
            read_picture(tmp_path / f"a.{kind}")


def tiff(order, data, tags):
    """A TIFF file of one strip; tags beside its size are ``number: value`` or ``number: [values]``."""
    size = {256: 7, 257: 9, 273: [8], 277: 1, 278: 9, 279: [len(data)]}
    entries, more, at = b"", b"", 8 + len(data)
    count = len(size | tags)
    for number, value in sorted((size | tags).items()):
        values = value if isinstance(value, list) else [value]
        held = struct.pack(f"{order}{len(values)}H", *values)
        if len(held) > 4:
            held, more = struct.pack(f"{order}I", at + 6 + 12 * count + len(more)), more + held
        entries += struct.pack(f"{order}HHI", number, 3, len(values)) + held.ljust(4, b"\0")
    head = b"II*\0" if order == "<" else b"MM\0*"
    directory = struct.pack(f"{order}H", count) + entries + b"\0" * 4
    return head + struct.pack(f"{order}I", at) + data + directory + more


def test_tiff_files_that_pillow_reads_wrongly_are_refused_and_their_like_are_not(tmp_path):
    deep = RNG.integers(0, 65536, (3, 9, 7), dtype=np.uint16)
    apart = [{258: [16] * 3, 259: 1, 262: 2, 277: 3, 284: 2, 273: [8, 134, 260], 279: [126] * 3}]
    floats = zlib.compress(np.linspace(0, 1, 63, dtype=">f4").tobytes())
    swapped = {258: 32, 259: 8, 262: 1, 339: 3}
    deeper = {258: 8, 259: 1, 262: 1, 32997: 2}
    for content, reason in (
        (tiff("<", deep.tobytes(), apart[0]), "one after the other"),
        (tiff(">", floats, swapped), "compressed numbers of 32 bits"),
        (tiff("<", GREY.tobytes() * 2, deeper), "holds 2 pages"),
        (tiff("<", b"RIFF", {258: 8, 259: 50001, 262: 1}), "WebP|rare kind"),
    ):
        (tmp_path / "a.tif").write_bytes(content)
        with pytest.raises(ImageRefused, match=reason):
            read_picture(tmp_path / "a.tif")
    together = {258: [16] * 3, 259: 1, 262: 2, 277: 3, 284: 1}
    (tmp_path / "a.tif").write_bytes(tiff("<", np.moveaxis(deep, 0, -1).tobytes(), together))
    assert np.array_equal(upright(read_picture(tmp_path / "a.tif").values), np.moveaxis(deep, 0, -1) >> 8)
    floats = zlib.compress(np.linspace(0, 1, 63, dtype="<f4").tobytes())
    (tmp_path / "a.tif").write_bytes(tiff("<", floats, swapped))
    assert np.allclose(upright(read_picture(tmp_path / "a.tif").values).ravel(), np.linspace(0, 255, 63))


def test_what_is_no_picture_is_called_by_what_it_is(tmp_path):
    for content, reason in (
        (b"GIF89a", "a GIF file by its content"),
        (b"\0\0\0\x18ftypheic" + b"\0" * 99, "a HEIC file by its content"),
        (b"<!DOCTYPE html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1", "a pointer of Git LFS"),
        (bytes(999), "nothing but zeros"),
        (b"\x89PNG\r\n\x1a\n", "a PNG file of a rare kind, or damaged"),
        (bytes(128) + b"DICM", "but a DICOM file"),
    ):
        (tmp_path / "a.png").write_bytes(content)
        with pytest.raises(ImageRefused, match=f"^not an? .*{reason}"):
            read_picture(tmp_path / "a.png")


def test_the_depth_of_a_file_is_read_from_its_own_words(tmp_path):
    info = PngImagePlugin.PngInfo()
    info.add(b"sBIT", b"\x10")
    file = saved(tmp_path, Image.fromarray(DEEP), pnginfo=info)
    with Image.open(file) as image:
        assert bit_depth.depth_of(image, file) == bit_depth.Depth(16, sure=True, grey=True)
