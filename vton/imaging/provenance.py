"""The mark that says a picture was made with AI, as the IPTC defines it for XMP.

`Iptc4xmpExt:DigitalSourceType` = compositeWithTrainedAlgorithmicMedia: a composite that includes
elements made by a trained model (https://cv.iptc.org/newscodes/digitalsourcetype/).
"""

from vton.imaging.png import SIGNATURE, chunk, chunks

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
XMP = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
 xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""
 xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">
<Iptc4xmpExt:DigitalSourceType>{SOURCE_TYPE}</Iptc4xmpExt:DigitalSourceType>
</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="r"?>"""

# What a picture looks like, by the PNG specification; every other chunk is metadata.
_PICTURE_CHUNKS = frozenset(
    b"IHDR PLTE IDAT IEND tRNS cHRM gAMA iCCP sBIT sRGB cICP mDCV cLLI bKGD pHYs".split()
)

_PIXELS = frozenset((b"IDAT", b"IEND"))


def mark_png(png: bytes) -> bytes:
    """Return a PNG with the same pixels' bytes, with our mark in place of its metadata.

    What stands behind the pixels, or behind the picture's end, goes, too. Raises ValueError if
    `png` is no whole PNG.
    """
    parts, wanted = [SIGNATURE], _PICTURE_CHUNKS
    for kind, whole in chunks(png):
        if kind == b"IDAT":
            wanted = _PIXELS  # everything else has its place before them
        if kind in wanted:
            parts.append(whole)
        if kind == b"IHDR":
            parts.append(chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP.encode()))
    return b"".join(parts)
