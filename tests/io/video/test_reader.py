import struct
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest

from biopose_cli.errors import SettingError, VideoError
from biopose_cli.io.video.probe import probe
from biopose_cli.io.video.reader import expected_frames, read_frames
from tests.helpers.video_files import corner_colors, decode_number, make, numbered_image

FORMATS: dict[str, dict[str, Any]] = {
    "h264.mp4": {},
    "h264.mkv": {},
    "h264.ts": {},
    "h264.avi": {},  # stores no presentation stamps, but frames out of order
    "hevc.mp4": {"codec": "libx265", "pixels": "yuv420p10le"},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "lag-in-frames": "16"}},
    "mjpeg.avi": {"codec": "mjpeg", "pixels": "yuvj420p"},
    "mpeg2.mpg": {"codec": "mpeg2video", "layout": "mpeg", "options": {"bf": "2", "g": "12"}},
    "prores.mov": {"codec": "prores_ks", "pixels": "yuva444p10le", "alpha": True},
    "qtrle.mov": {"codec": "qtrle", "pixels": "argb", "alpha": True},
    "png.mov": {"codec": "png", "pixels": "rgba", "alpha": True},
    "still.gif": {"codec": "gif", "pixels": "rgb8"},
}


@pytest.mark.parametrize("name", FORMATS)
def test_any_codec_gives_the_same_frames_indices_and_times(tmp_path, name):
    count = 40
    options = {"g": "10"} | FORMATS[name].get("options", {})
    info = probe(make(tmp_path / name, frames=count, **FORMATS[name] | {"options": options}))
    found = list(read_frames(info))
    assert [frame.index for frame in found] == list(range(count))
    assert [decode_number(frame.image) for frame in found] == list(range(count))
    np.testing.assert_allclose([frame.time for frame in found], np.arange(count) / 30, atol=0.006)
    assert corner_colors(found[-1].image) == ["red", "green", "blue", "white"]
    assert all(f.image.dtype == np.uint8 and f.image.flags.c_contiguous and f.image.flags.writeable for f in found)
    assert not info.variable_rate


def test_drawing_on_a_frame_does_not_change_the_next(tmp_path):
    info = probe(make(tmp_path / "a.mov", frames=10, codec="qtrle", pixels="rgb24"))
    for index, frame in enumerate(read_frames(info)):
        assert decode_number(frame.image) == index
        frame.image[:] = 0


def test_variable_rate_keeps_its_times(tmp_path):
    ticks = [0, 33, 67, 150, 151, 400, 433, 1200, 1233, 1266]
    info = probe(make(tmp_path / "a.mp4", frames=10, ticks=ticks, tick=Fraction(1, 1000)))
    np.testing.assert_allclose([frame.time for frame in read_frames(info)], np.array(ticks) / 1000, atol=1e-4)
    assert info.variable_rate
    assert info.frame_rate == pytest.approx(10 / info.duration)


def test_time_counts_from_the_first_frame(tmp_path):
    info = probe(make(tmp_path / "a.ts", frames=5, ticks=[90, 91, 92, 93, 94], tick=Fraction(1, 30)))
    np.testing.assert_allclose([frame.time for frame in read_frames(info)], np.arange(5) / 30, atol=1e-9)


@pytest.mark.parametrize(("width", "height"), [(65, 47), (33, 120), (1, 1)])
def test_odd_sizes(tmp_path, width, height):
    info = probe(make(tmp_path / "a.mkv", frames=3, width=width, height=height, codec="ffv1", pixels="yuv444p"))
    assert next(read_frames(info)).image.shape == (height, width, 3)


def test_full_and_limited_range_give_the_same_colors(tmp_path):
    images = [
        next(read_frames(probe(make(tmp_path / f"{pixels}.mp4", frames=1, pixels=pixels)))).image.astype(int)
        for pixels in ("yuv420p", "yuvj420p", "yuv420p10le")
    ]
    assert np.median(np.abs(images[0] - images[1])) <= 3
    assert np.median(np.abs(images[0] - images[2])) <= 3


def test_hdr_in_pq_is_brightened(tmp_path):
    def pq(stream):
        stream.codec_context.color_trc = 16

    plain = next(read_frames(probe(make(tmp_path / "a.mp4", frames=1, pixels="yuv420p10le")))).image
    hdr = next(read_frames(probe(make(tmp_path / "b.mp4", frames=1, pixels="yuv420p10le", prepare=pq)))).image
    assert plain[230, 310].max() < 240
    assert hdr[230, 310].min() == 255  # far above 203 cd/m2
    assert corner_colors(plain) == ["red", "green", "blue", "white"]
    assert hdr[10, 10, 0] > hdr[10, 10, 1]


def test_interlaced_frames_are_deinterlaced(tmp_path):
    interlaced = {"codec": "mpeg2video", "options": {"flags": "+ildct+ilme", "g": "12"}}
    info = probe(make(tmp_path / "a.ts", frames=30, **interlaced))
    assert info.interlaced
    found = list(read_frames(info))
    assert [frame.index for frame in found] == list(range(30))
    np.testing.assert_allclose([frame.time for frame in found], np.arange(30) / 30, atol=1e-3)
    assert decode_number(found[-1].image) == 29


def test_start_and_end_keep_numbers_and_times(tmp_path):
    for name in ("h264.mp4", "h264.mkv", "h264.avi", "vp9.webm"):
        extra = FORMATS[name] | {"options": FORMATS[name].get("options", {}) | {"g": "15"}}
        info = probe(make(tmp_path / name, frames=150, width=160, height=120, **extra))
        whole = {frame.index: frame for frame in read_frames(info)}
        for start, end in ((0.0, 0.2), (1.0, 1.5), (3.21, 3.9), (4.9, None)):
            part = list(read_frames(info, start, end))
            last = info.duration if end is None else end
            expected = [k for k, f in whole.items() if start - 1e-6 <= f.time <= last + 1e-6]
            assert [frame.index for frame in part] == expected
            assert [decode_number(frame.image) for frame in part] == expected
            assert [frame.time for frame in part] == [whole[k].time for k in expected]


def test_a_late_start_is_not_decoded_from_the_beginning(tmp_path, monkeypatch):
    info = probe(make(tmp_path / "a.mp4", frames=300, width=64, height=48, options={"g": "15"}))
    stream = read_frames(info, 9.5)
    decoded = 0
    numbered = stream._numbered

    def counting(first):
        nonlocal decoded
        for item in numbered(first):
            decoded += 1
            yield item

    monkeypatch.setattr(stream, "_numbered", counting)
    assert [frame.index for frame in stream] == list(range(285, 300))
    assert decoded < 100


def test_start_outside_is_refused_at_once(tmp_path):
    info = probe(make(tmp_path / "a.mp4", frames=30))
    with pytest.raises(SettingError, match="--start 5 s is outside the video"):
        read_frames(info, start=5.0)


def test_a_truncated_file_gives_its_readable_frames(tmp_path):
    whole = make(tmp_path / "a.mp4", frames=90, muxing={"movflags": "faststart"}).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) * 3 // 4])
    info = probe(tmp_path / "cut.mp4")
    found = list(read_frames(info))
    assert 1 < len(found) < 90
    assert [decode_number(frame.image) for frame in found] == [frame.index for frame in found]


def test_damaged_frames_are_left_out_and_counted(tmp_path):
    data = bytearray(make(tmp_path / "a.avi", frames=60, codec="mjpeg", pixels="yuvj420p").read_bytes())
    starts = [i for i in range(len(data) - 2) if data[i : i + 3] == b"\xff\xd8\xff"]
    assert len(starts) == 60
    for index in (20, 21, 40):
        data[starts[index] : starts[index + 1] - 16] = bytes(starts[index + 1] - 16 - starts[index])
    (tmp_path / "b.avi").write_bytes(data)
    stream = read_frames(probe(tmp_path / "b.avi"))
    found = list(stream)
    assert [frame.index for frame in found] == [i for i in range(60) if i not in {20, 21, 40}]
    assert [decode_number(frame.image) for frame in found] == [frame.index for frame in found]
    assert stream.warnings == ("3 of 60 frames of the video could not be decoded and were skipped",)


def test_an_undamaged_file_gives_no_warnings(tmp_path):
    stream = read_frames(probe(make(tmp_path / "a.mp4")))
    assert len(list(stream)) == 12
    assert stream.warnings == ()


def test_no_decodable_frame_in_the_requested_window(tmp_path):
    data = bytearray(make(tmp_path / "a.avi", frames=60, codec="mjpeg", pixels="yuvj420p").read_bytes())
    starts = [i for i in range(len(data) - 2) if data[i : i + 3] == b"\xff\xd8\xff"]
    for index in range(20, 40):
        data[starts[index] : starts[index + 1] - 16] = bytes(starts[index + 1] - 16 - starts[index])
    (tmp_path / "b.avi").write_bytes(data)
    with pytest.raises(VideoError, match="no image that can be decoded"):
        list(read_frames(probe(tmp_path / "b.avi"), 0.8, 1.2))


def test_closing_early_releases_the_file(tmp_path):
    stream = read_frames(probe(make(tmp_path / "a.mp4")))
    next(stream)
    stream.close()
    (tmp_path / "a.mp4").unlink()  # Windows refuses this while the file is open
    assert list(stream) == []


def test_frames_trimmed_by_an_edit_list_are_dropped_without_a_warning(tmp_path):
    data = bytearray(make(tmp_path / "a.mp4", frames=60).read_bytes())
    place = data.index(b"elst") + 12  # the edit's length (ms) and first tick, after flags and count
    length, begin = struct.unpack(">Ii", data[place : place + 8])
    data[place : place + 8] = struct.pack(">Ii", length - 500, begin + 20 * 512)
    (tmp_path / "b.mp4").write_bytes(data)
    info = probe(tmp_path / "b.mp4")
    found = list(read_frames(info))
    assert [decode_number(frame.image) for frame in found] == list(range(20, 60))
    assert [frame.index for frame in found] == list(range(40))
    assert found[0].time == 0.0
    assert info.warnings == ()


def test_a_change_of_resolution_is_scaled_and_a_change_of_shape_refused(tmp_path):
    first = make(tmp_path / "a.ts", frames=10, codec="mpeg2video").read_bytes()
    for width, height in ((160, 120), (240, 320)):
        later = {"ticks": range(10, 20), "codec": "mpeg2video"}
        part = make(tmp_path / "part.ts", frames=10, width=width, height=height, **later)
        (tmp_path / f"{width}.ts").write_bytes(first + part.read_bytes())
    found = list(read_frames(probe(tmp_path / "160.ts")))
    assert [decode_number(frame.image) for frame in found[:8]] == list(range(8))
    assert [decode_number(frame.image) for frame in found[-8:]] == list(range(2, 10))
    assert {frame.image.shape for frame in found} == {(240, 320, 3)}
    assert np.all(np.diff([frame.time for frame in found]) > 0)
    with pytest.raises(VideoError, match=r"changes its shape after 0\.3"):
        list(read_frames(probe(tmp_path / "240.ts")))


def test_the_default_stream_of_several_is_used_with_a_note(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        streams = []
        for width, height in ((320, 240), (64, 48)):
            stream = container.add_stream("libx264", rate=30)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            streams.append(stream)
        for index in range(10):
            for stream in streams:
                image = numbered_image(index, stream.width, stream.height)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        for stream in streams:
            container.mux(stream.encode())
    info = probe(tmp_path / "a.mp4")
    assert info.warnings == ("the file holds 2 videos; the one of 320 x 240 px is used",)
    assert [decode_number(frame.image) for frame in read_frames(info)] == list(range(10))


@pytest.mark.parametrize(("start", "end"), [(None, None), (None, 0.8), (0.5, None), (0.3, 0.6), (None, 0.0)])
def test_expected_frames_are_those_that_come(sample_clip, start, end):
    info = probe(sample_clip)
    assert expected_frames(info, start, end) == sum(1 for _ in read_frames(info, start, end))
