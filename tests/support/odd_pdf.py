"""PDFs that are hard to read: pictures of pages, passwords, forms."""

import io

import pypdf
import pypdfium2

from support.small_pdf import small_pdf


def scanned_pdf(num_pages, *, text_on=()):
    """Pages that hold a picture each; those in text_on (from 1) hold a line of text as well."""
    pdf = pypdfium2.PdfDocument.new()
    for number in range(1, num_pages + 1):
        page = pdf.new_page(200, 200)
        bitmap = pypdfium2.PdfBitmap.new_native(8, 8, pypdfium2.raw.FPDFBitmap_BGR)
        bitmap.fill_rect((90, 90, 90, 255), 0, 0, 8, 8)
        picture = pypdfium2.PdfImage.new(pdf)
        picture.set_bitmap(bitmap)
        picture.set_matrix(pypdfium2.PdfMatrix().scale(200, 200))
        page.insert_obj(picture)
        if number in text_on:
            page.insert_obj(_text(pdf, f"words on page {number}"))
        page.gen_content()
    return _saved(pdf)


def blank_pdf(num_pages):
    """Pages with nothing on them."""
    pdf = pypdfium2.PdfDocument.new()
    for _ in range(num_pages):
        pdf.new_page(200, 200)
    return _saved(pdf)


def encrypted_pdf(data, password, *, owner="owner"):
    """The same pages behind a password; "" makes one that opens for everybody."""
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(data))
    writer.encrypt(password, owner_password=owner, algorithm="AES-256")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def form_pdf(label, value):
    """A page with a label and a field that was filled in, as viewers save it."""
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(small_pdf(label)))
    name = pypdf.generic.NameObject
    look = pypdf.generic.StreamObject()
    look.set_data(f"/Tx BMC BT /F1 12 Tf 2 5 Td ({value}) Tj ET EMC".encode("latin-1"))
    page = writer.pages[0]
    look[name("/Type")], look[name("/Subtype")] = name("/XObject"), name("/Form")
    look[name("/BBox")] = pypdf.generic.RectangleObject((0, 0, 200, 20))
    look[name("/Resources")] = page["/Resources"]
    field = pypdf.generic.DictionaryObject(
        {
            name("/Type"): name("/Annot"),
            name("/Subtype"): name("/Widget"),
            name("/FT"): name("/Tx"),
            name("/T"): pypdf.generic.TextStringObject("field"),
            name("/V"): pypdf.generic.TextStringObject(value),
            name("/F"): pypdf.generic.NumberObject(4),
            name("/Rect"): pypdf.generic.RectangleObject((50, 600, 250, 620)),
            name("/AP"): pypdf.generic.DictionaryObject({name("/N"): writer._add_object(look)}),
        }
    )
    page[name("/Annots")] = pypdf.generic.ArrayObject([writer._add_object(field)])
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def _text(pdf, words):
    raw = pypdfium2.raw
    text = raw.FPDFPageObj_NewTextObj(pdf, b"Helvetica", 12.0)
    data = words.encode("utf-16-le") + b"\0\0"
    raw.FPDFText_SetText(text, (raw.FPDF_WCHAR * (len(data) // 2)).from_buffer_copy(data))
    raw.FPDFPageObj_Transform(text, 1, 0, 0, 1, 20, 100)
    return pypdfium2.PdfObject(text, pdf=pdf)


def _saved(pdf):
    data = io.BytesIO()
    pdf.save(data)
    return data.getvalue()
