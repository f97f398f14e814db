"""Office files, books and archives made by hand, each as the bytes of a file."""

import io
import zipfile

_TYPES = "application/vnd.openxmlformats-package.relationships+xml"
_MAIN = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"
_WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def archive(parts):
    """A zip of {name: content}."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in parts.items():
            file.writestr(name, content)
    return data.getvalue()


def docx_of(body, doctype=""):
    """A Word file whose body is this WordprocessingML."""
    return archive(
        {
            "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/'
            f'content-types"><Default Extension="rels" ContentType="{_TYPES}"/><Override '
            f'PartName="/word/document.xml" ContentType="{_MAIN}"/></Types>',
            "_rels/.rels": '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/'
            f'relationships"><Relationship Id="r1" Type="{_OFFICE}" Target="word/document.xml"/>'
            "</Relationships>",
            "word/document.xml": f'<?xml version="1.0"?>{doctype}'
            f'<w:document xmlns:w="{_WORD}"><w:body>{body}</w:body></w:document>',
        }
    )


def paragraph(text, style=None):
    """One paragraph of WordprocessingML."""
    look = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f"<w:p>{look}<w:r><w:t>{text}</w:t></w:r></w:p>"


def word_table(rows):
    """A table of WordprocessingML."""
    cells = (("".join(f"<w:tc>{paragraph(cell)}</w:tc>" for cell in row)) for row in rows)
    return "<w:tbl>" + "".join(f"<w:tr>{row}</w:tr>" for row in cells) + "</w:tbl>"


def pptx_of(*slides):
    """A presentation of (title, text) slides."""
    import pptx

    made = pptx.Presentation()
    for title, text in slides:
        slide = made.slides.add_slide(made.slide_layouts[1])
        slide.shapes.title.text = title
        slide.placeholders[1].text = text
    data = io.BytesIO()
    made.save(data)
    return data.getvalue()


def xlsx_of(**sheets):
    """A workbook of {name: rows}."""
    import openpyxl

    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    data = io.BytesIO()
    book.save(data)
    return data.getvalue()


def epub_of(title, *chapters):
    """An e-book of XHTML bodies."""
    items = "".join(f'<item id="c{n}" href="c{n}.xhtml"/>' for n in range(len(chapters)))
    order = "".join(f'<itemref idref="c{n}"/>' for n in range(len(chapters)))
    parts = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:'
        'container"><rootfiles><rootfile full-path="OPS/book.opf"/></rootfiles></container>',
        "OPS/book.opf": '<package xmlns="http://www.idpf.org/2007/opf" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f"<metadata><dc:title>{title}</dc:title></metadata>"
        f"<manifest>{items}</manifest><spine>{order}</spine></package>",
    }
    for number, body in enumerate(chapters):
        parts[f"OPS/c{number}.xhtml"] = f"<html><body>{body}</body></html>"
    return archive(parts)
