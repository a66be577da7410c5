"""XMP packets with named faces, as photo programs write them."""

from shotcrop_cli.shots import Box


def packet(inner: str) -> bytes:
    return f"""<?xpacket begin='\ufeff' id='W5M0MpCehiHzreSzNTczkc9d'?>
    <x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'
     xmlns:mwg-rs='http://www.metadataworkinggroup.com/schemas/regions/'
     xmlns:stArea='http://ns.adobe.com/xmp/sType/Area#' xmlns:stDim='http://ns.adobe.com/xap/1.0/sType/Dimensions#'
     xmlns:apple-fi='http://ns.apple.com/faceinfo/1.0/'
     xmlns:MP='http://ns.microsoft.com/photo/1.2/' xmlns:MPRI='http://ns.microsoft.com/photo/1.2/t/RegionInfo#'
     xmlns:MPReg='http://ns.microsoft.com/photo/1.2/t/Region#'>
    <rdf:Description rdf:about=''>{inner}</rdf:Description></rdf:RDF></x:xmpmeta>
    <?xpacket end='w'?>""".encode()


def mwg(*regions: tuple[str, Box], kind: str = "Face") -> bytes:
    """Return regions as Lightroom and digiKam write them."""
    items = "".join(
        f"<rdf:li><rdf:Description mwg-rs:Name='{name}' mwg-rs:Type='{kind}'><mwg-rs:Area stArea:x='{box.centre[0]}'"
        f" stArea:y='{box.centre[1]}' stArea:w='{box.width}' stArea:h='{box.height}' stArea:unit='normalized'/>"
        "</rdf:Description></rdf:li>"
        for name, box in regions
    )
    return packet(
        f"<mwg-rs:Regions rdf:parseType='Resource'><mwg-rs:AppliedToDimensions stDim:w='1200' stDim:h='800'/>"
        f"<mwg-rs:RegionList><rdf:Bag>{items}</rdf:Bag></mwg-rs:RegionList></mwg-rs:Regions>"
    )


def as_elements(name: str, box: Box) -> bytes:
    """Return a region as ExifTool and Apple write it, with elements instead of attributes."""
    (x, y), width, height = box.centre, box.width, box.height
    return packet(
        "<mwg-rs:Regions rdf:parseType='Resource'><mwg-rs:RegionList><rdf:Seq><rdf:li rdf:parseType='Resource'>"
        f"<mwg-rs:Area rdf:parseType='Resource'><stArea:x>{x}</stArea:x><stArea:y>{y}</stArea:y><stArea:w>{width}"
        f"</stArea:w><stArea:h>{height}</stArea:h></mwg-rs:Area><mwg-rs:Name>{name}</mwg-rs:Name><mwg-rs:Type>Face"
        "</mwg-rs:Type><mwg-rs:Extensions rdf:parseType='Resource'><apple-fi:FaceID>3</apple-fi:FaceID>"
        "</mwg-rs:Extensions></rdf:li></rdf:Seq></mwg-rs:RegionList></mwg-rs:Regions>"
    )


def microsoft(name: str, box: Box) -> bytes:
    return packet(
        "<MP:RegionInfo rdf:parseType='Resource'><MPRI:Regions><rdf:Bag><rdf:li rdf:parseType='Resource'>"
        f"<MPReg:Rectangle>{box.x0}, {box.y0}, {box.width}, {box.height}</MPReg:Rectangle><MPReg:PersonDisplayName>"
        f"{name}</MPReg:PersonDisplayName></rdf:li></rdf:Bag></MPRI:Regions></MP:RegionInfo>"
    )


def apple(*boxes: Box, name: str = "", prefix: str = "mwg-rs") -> bytes:
    """Return regions as iPhones write them: without names, and with what Apple's framework found out about the face."""
    label = f"<mwg-rs:Name>{name}</mwg-rs:Name>" if name else ""
    items = "".join(
        "<rdf:li rdf:parseType='Resource'><mwg-rs:Area rdf:parseType='Resource'>"
        f"<stArea:y>{box.centre[1]}</stArea:y><stArea:w>{box.width}</stArea:w><stArea:x>{box.centre[0]}</stArea:x>"
        f"<stArea:h>{box.height}</stArea:h><stArea:unit>normalized</stArea:unit></mwg-rs:Area>"
        f"<mwg-rs:Type>Face</mwg-rs:Type>{label}<mwg-rs:Extensions rdf:parseType='Resource'>"
        "<apple-fi:AngleInfoYaw>315</apple-fi:AngleInfoYaw><apple-fi:AngleInfoRoll>270</apple-fi:AngleInfoRoll>"
        f"<apple-fi:ConfidenceLevel>231</apple-fi:ConfidenceLevel><apple-fi:FaceID>{number}</apple-fi:FaceID>"
        "</mwg-rs:Extensions></rdf:li>"
        for number, box in enumerate(boxes, 1)
    )
    written = packet(
        f"<mwg-rs:Regions rdf:parseType='Resource'><mwg-rs:RegionList><rdf:Seq>{items}</rdf:Seq></mwg-rs:RegionList>"
        "<mwg-rs:AppliedToDimensions rdf:parseType='Resource'><stDim:h>3024</stDim:h><stDim:w>4032</stDim:w>"
        "<stDim:unit>pixel</stDim:unit></mwg-rs:AppliedToDimensions></mwg-rs:Regions>"
    )
    return written.replace(b"mwg-rs:", prefix.encode() + b":").replace(b"xmlns:mwg-rs=", f"xmlns:{prefix}=".encode())
