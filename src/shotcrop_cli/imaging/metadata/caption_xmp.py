"""XMP files that carry a crop's caption to asset managers."""

from __future__ import annotations

import re
from html import escape

_PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
  <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
    <rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/">
      <dc:description>
        <rdf:Alt>
          <rdf:li xml:lang="x-default">{caption}</rdf:li>
        </rdf:Alt>
      </dc:description>
    </rdf:Description>
  </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>
"""
"""The wrapper and its id are those of the XMP specification, part 1, section 7.3.2."""
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold."""


def description(caption: str) -> bytes:
    """Return an XMP packet whose `dc:description` is a caption.

    Args:
        caption: What is seen in the crop; characters that XML cannot hold are left out.
    """
    return _PACKET.format(caption=escape(_NOT_XML.sub("", caption), quote=False)).encode("utf-8")
