package console

import (
	"embed"
	"html/template"
)

// All that is served is in the program.
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

// frame is what all pages have.
type frame struct {
	Product, Title       string
	MaySettle, MayReveal bool
	// Refresh is after how many seconds the page loads itself again, 0 for never.
	Refresh int
}

type problemPage struct {
	frame

	Detail string
	// Back is the address of the record that the page is about, if there is one.
	Back string
}

// storedRow is a record of a list, with its store.
type storedRow struct {
	recordRow

	Store string
}

// authorFields are the fields for who settles and why, of which the names in the page begin with ID.
type authorFields struct {
	author

	ID string
}
