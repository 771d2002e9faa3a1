package pdf

import (
	"context"
	"errors"
	"strings"

	"github.com/klippa-app/go-pdfium"
	"github.com/klippa-app/go-pdfium/enums"
	pdfiumerrors "github.com/klippa-app/go-pdfium/errors"
	"github.com/klippa-app/go-pdfium/references"
	"github.com/klippa-app/go-pdfium/requests"
)

// guest is one instance of the sandbox with at most one document in it. Nothing
// it returns is to be believed: numbers may be huge or negative, bytes too few.
// An error other than ErrPassword and ErrDamaged means that it is of no more use.
// Pages count from 0.
type guest interface {
	load(file []byte) error
	pageCount() (int, error)
	// traits never fail: what cannot be asked is left out.
	traits() traits
	pageSize(page int) (width, height float64, err error) // in points
	textLength(page int) (int, error)                     // in UTF-16 units
	text(page, length int) (string, error)
	// draw returns gray pixels, in the guest's own memory: valid until the next call.
	draw(page, width, height int) (pixels []byte, stride int, err error)
	// stop makes the call under way return, soon, and every later one fail. It may be
	// called from any goroutine, again, and after end.
	stop()
	// end frees the guest's memory. It is called once, and not during another call.
	end()
}

// traits are what a document says of itself as a whole.
type traits struct {
	encrypted   bool // and yet open: only the owner's password is set
	javaScript  bool // in its name tree
	attachments bool
	form        bool // with fields
	xfa         bool
}

// pdfiumGuest asks PDFium through its low-level calls: they name every size
// beforehand, where the convenient ones allocate what the guest asks for.
type pdfiumGuest struct {
	in     pdfium.Pdfium
	cancel context.CancelFunc
	memory memory

	doc      references.FPDF_DOCUMENT
	flatten  bool
	page     references.FPDF_PAGE // the page loaded, "" for none
	index    int
	textPage references.FPDF_TEXTPAGE // of page
	bitmap   references.FPDF_BITMAP   // of the last draw
}

func (g *pdfiumGuest) stop() { g.cancel() }

func (g *pdfiumGuest) end() {
	g.cancel()
	_ = g.in.Kill() // not Close: that would run guest code to tidy up
	g.memory.release()
}

func (g *pdfiumGuest) load(file []byte) error {
	resp, err := g.in.OpenDocument(&requests.OpenDocument{File: &file})
	if err != nil {
		return judge(err)
	}
	g.doc = resp.Document
	return nil
}

// judge sorts PDFium's own answers from the end of the guest.
func judge(err error) error {
	switch {
	case errors.Is(err, pdfiumerrors.ErrPassword), errors.Is(err, pdfiumerrors.ErrSecurity):
		return ErrPassword
	case errors.Is(err, pdfiumerrors.ErrFormat), errors.Is(err, pdfiumerrors.ErrFile),
		errors.Is(err, pdfiumerrors.ErrPage), errors.Is(err, pdfiumerrors.ErrUnknown),
		errors.Is(err, pdfiumerrors.ErrSuccess):
		return ErrDamaged
	}
	reason, _, _ := strings.Cut(err.Error(), "\n") // the rest is a stack of numbers
	return errors.New("pdf guest: " + reason)
}

func (g *pdfiumGuest) pageCount() (int, error) {
	resp, err := g.in.FPDF_GetPageCount(&requests.FPDF_GetPageCount{Document: g.doc})
	if err != nil {
		return 0, judge(err)
	}
	return resp.PageCount, nil
}

func (g *pdfiumGuest) traits() traits {
	var t traits
	if r, err := g.in.FPDF_GetSecurityHandlerRevision(&requests.FPDF_GetSecurityHandlerRevision{Document: g.doc}); err == nil {
		t.encrypted = r.SecurityHandlerRevision >= 0
	}
	if r, err := g.in.FPDFDoc_GetJavaScriptActionCount(&requests.FPDFDoc_GetJavaScriptActionCount{Document: g.doc}); err == nil {
		t.javaScript = r.JavaScriptActionCount > 0
	}
	if r, err := g.in.FPDFDoc_GetAttachmentCount(&requests.FPDFDoc_GetAttachmentCount{Document: g.doc}); err == nil {
		t.attachments = r.AttachmentCount > 0
	}
	if r, err := g.in.FPDF_GetFormType(&requests.FPDF_GetFormType{Document: g.doc}); err == nil {
		t.form = r.FormType != enums.FPDF_FORMTYPE_NONE
		t.xfa = r.FormType == enums.FPDF_FORMTYPE_XFA_FULL || r.FormType == enums.FPDF_FORMTYPE_XFA_FOREGROUND
	}
	g.flatten = t.form
	return t
}

func (g *pdfiumGuest) pageSize(page int) (width, height float64, err error) {
	r, err := g.in.FPDF_GetPageSizeByIndex(&requests.FPDF_GetPageSizeByIndex{Document: g.doc, Index: page})
	if err != nil {
		return 0, 0, judge(err)
	}
	return r.Width, r.Height, nil
}

// open loads page, and closes the one loaded before. The fields of a form are made
// part of the page, in the guest's memory, so that what a citizen filled in is read.
func (g *pdfiumGuest) open(page int) (requests.Page, error) {
	if g.page != "" && g.index == page {
		return requests.Page{ByReference: &g.page}, nil
	}
	g.shut()
	resp, err := g.in.FPDF_LoadPage(&requests.FPDF_LoadPage{Document: g.doc, Index: page})
	if err != nil {
		return requests.Page{}, judge(err)
	}
	g.page, g.index = resp.Page, page
	ref := requests.Page{ByReference: &g.page}
	if g.flatten {
		if _, err := g.in.FPDFPage_Flatten(&requests.FPDFPage_Flatten{Page: ref, Usage: requests.FPDFPage_FlattenUsageNormalDisplay}); err != nil {
			return requests.Page{}, judge(err)
		}
	}
	return ref, nil
}

func (g *pdfiumGuest) shut() {
	if g.textPage != "" {
		_, _ = g.in.FPDFText_ClosePage(&requests.FPDFText_ClosePage{TextPage: g.textPage})
		g.textPage = ""
	}
	if g.page != "" {
		_, _ = g.in.FPDF_ClosePage(&requests.FPDF_ClosePage{Page: g.page})
		g.page = ""
	}
}

func (g *pdfiumGuest) textLength(page int) (int, error) {
	ref, err := g.open(page)
	if err != nil {
		return 0, err
	}
	if g.textPage == "" {
		resp, err := g.in.FPDFText_LoadPage(&requests.FPDFText_LoadPage{Page: ref})
		if err != nil {
			return 0, judge(err)
		}
		g.textPage = resp.TextPage
	}
	resp, err := g.in.FPDFText_CountChars(&requests.FPDFText_CountChars{TextPage: g.textPage})
	if err != nil {
		return 0, judge(err)
	}
	return resp.Count, nil
}

func (g *pdfiumGuest) text(page, length int) (string, error) {
	if _, err := g.open(page); err != nil {
		return "", err
	}
	resp, err := g.in.FPDFText_GetText(&requests.FPDFText_GetText{TextPage: g.textPage, Count: length})
	if err != nil {
		return "", judge(err)
	}
	return resp.Text, nil
}

func (g *pdfiumGuest) draw(page, width, height int) (pixels []byte, stride int, err error) {
	ref, err := g.open(page)
	if err != nil {
		return nil, 0, err
	}
	if g.bitmap != "" {
		_, _ = g.in.FPDFBitmap_Destroy(&requests.FPDFBitmap_Destroy{Bitmap: g.bitmap})
		g.bitmap = ""
	}
	bitmap, err := g.in.FPDFBitmap_CreateEx(&requests.FPDFBitmap_CreateEx{
		Width: width, Height: height, Format: enums.FPDF_BITMAP_FORMAT_GRAY, Pointer: uint64(0),
	})
	if err != nil {
		return nil, 0, judge(err)
	}
	g.bitmap = bitmap.Bitmap
	_, err = g.in.FPDFBitmap_FillRect(&requests.FPDFBitmap_FillRect{Bitmap: bitmap.Bitmap, Width: width, Height: height, Color: 0xFFFFFFFF})
	if err != nil {
		return nil, 0, judge(err)
	}
	_, err = g.in.FPDF_RenderPageBitmap(&requests.FPDF_RenderPageBitmap{
		Page: ref, Bitmap: bitmap.Bitmap, SizeX: width, SizeY: height,
		Flags: enums.FPDF_RENDER_FLAG_GRAYSCALE | enums.FPDF_RENDER_FLAG_ANNOT,
	})
	if err != nil {
		return nil, 0, judge(err)
	}
	s, err := g.in.FPDFBitmap_GetStride(&requests.FPDFBitmap_GetStride{Bitmap: bitmap.Bitmap})
	if err != nil {
		return nil, 0, judge(err)
	}
	b, err := g.in.FPDFBitmap_GetBuffer(&requests.FPDFBitmap_GetBuffer{Bitmap: bitmap.Bitmap})
	if err != nil {
		return nil, 0, judge(err)
	}
	return b.Buffer, s.Stride, nil
}
