package console

import (
	"embed"
	"html/template"
)

// All files are embedded.
var (
	//go:embed pages/*.html
	files embed.FS
	//go:embed pages/style.css
	style []byte
	//go:embed pages/icon.svg
	icon []byte

	//nolint:gochecknoglobals // nobody changes it after it was parsed
	pages = template.Must(template.New("").Funcs(template.FuncMap{
		"printable": printable, "count": count, "recordURL": recordURL,
		"row":    func(store string, row recordRow) storedRow { return storedRow{row, store} },
		"author": func(id string, by author) authorFields { return authorFields{by, id} },
	}).ParseFS(files, "pages/*.html"))
)

// frame is the data that all pages share.
type frame struct {
	Product, Title       string
	MaySettle, MayReveal bool
	// Refresh is the reload interval in seconds. 0 means no reload.
	Refresh int
}

type problemPage struct {
	frame

	Detail string
	// Back is the address of the record of the page, or empty.
	Back string
}

// storedRow is a row of a list, with its store.
type storedRow struct {
	recordRow

	Store string
}

// authorFields are the fields for name and reason. ID is the prefix of their element IDs.
type authorFields struct {
	author

	ID string
}
