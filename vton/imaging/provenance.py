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


def mark_png(png: bytes) -> bytes:
    """Return a PNG without metadata with our mark in it, and without EXIF.

    Raises ValueError if `png` is no whole PNG.
    """
    parts = [SIGNATURE]
    for kind, whole in chunks(png):
        if kind != b"eXIf":
            parts.append(whole)
        if kind == b"IHDR":
            parts.append(chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP.encode()))
    return b"".join(parts)
