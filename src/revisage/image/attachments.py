"""What a file holds beside its picture and no result takes along: told by its marks."""

import re

_MARKS = {
    rb"hdrgm:Version|aux:hdrgainmap|urn:iso:std:iso:ts:21496": "its gain map for HDR screens",
    rb"ftyp(?:mp4|isom|iso\d|qt  |avc|3gp|MSNV)": "the film in it (motion photo)",
    rb"urn:mpeg:hevc:2015:auxid:2|GDepth:(?:Data|Format)": "its depth map",
}


def attachments(data: bytes) -> list[str]:
    """Names of what is in a file of any format besides the picture."""
    return [name for mark, name in _MARKS.items() if re.search(mark, data)]
