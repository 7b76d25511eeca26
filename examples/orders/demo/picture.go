package demo

import (
	_ "embed"
	"fmt"
	"html/template"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/onlyonce-go/onlyonce/examples/orders/service"
)

//go:embed picture.html.tmpl
var pictureTemplate string

// The geometry of the picture of one order, in pixels.
const (
	laneWidth = 230
	laneStart = 100
	rowHeight = 26
	rowStart  = 58
)

// picture is what the page shows.
type picture struct {
	Orders, Attempts, Replays, Takeovers, Killed int

	Took  time.Duration
	Nodes []node
	Hops  []drawnHop
	Lanes []lane
	Some  []drawnChain
}

// node is a service in the overview.
type node struct {
	Name string
	X, Y int
	Note string
}

// drawnHop is an arrow in the overview.
type drawnHop struct {
	*hop

	X1, Y1, X2, Y2, TextX, TextY int
}

// lane is a service in the picture of one order.
type lane struct {
	Name string
	X    int
}

// drawnChain is the picture of one order.
type drawnChain struct {
	Order    string
	Attempts int
	Replays  int
	Height   int
	Rows     []drawnRow
}

// drawnRow is one attempt, or the death of a service.
type drawnRow struct {
	Fate         fate
	X1, X2, Y    int
	TextX, TextY int
	Text, Title  string
	Killed       bool
}

func lanes() []lane {
	all := make([]lane, 0, len(names())+1)
	for i, name := range []string{customers, service.Gateway, service.Orders, service.Payments, service.Inventory} {
		all = append(all, lane{Name: name, X: laneStart + i*laneWidth})
	}

	return all
}

func laneOf(name string) int {
	for _, l := range lanes() {
		if l.Name == name {
			return l.X
		}
	}

	return 0
}

// draw writes the page.
func draw(path string, t *trial) error {
	parsed, err := template.New("picture").Parse(pictureTemplate)
	if err != nil {
		return fmt.Errorf("drawing the picture: %w", err)
	}

	var text strings.Builder
	if err := parsed.Execute(&text, newPicture(t)); err != nil {
		return fmt.Errorf("drawing the picture: %w", err)
	}

	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		return fmt.Errorf("writing the picture: %w", err)
	}

	return nil
}

func newPicture(t *trial) *picture {
	attempts := t.attempts()

	p := &picture{
		Orders: t.requested, Attempts: len(attempts), Replays: t.replays(), Takeovers: t.takeovers(), Killed: t.killed(),
		Took: t.took.Round(time.Second / 10), Lanes: lanes(), // a tenth
	}

	places := map[string]node{
		customers:         {X: 90, Y: 150},
		service.Gateway:   {X: 390, Y: 150},
		service.Orders:    {X: 690, Y: 150},
		service.Payments:  {X: 1000, Y: 60},
		service.Inventory: {X: 1000, Y: 240},
	}

	for _, l := range lanes() {
		n := places[l.Name]
		n.Name, n.Note = l.Name, fmt.Sprintf("killed %d times", t.kills[l.Name])

		if l.Name == customers {
			n.Note = fmt.Sprintf("%d orders", t.requested)
		}

		p.Nodes = append(p.Nodes, n)
	}

	const half = 70 // of the width of a box

	for _, h := range hops(attempts) {
		from, to := places[h.From], places[h.To]
		d := drawnHop{hop: h, X1: from.X + half, Y1: from.Y, X2: to.X - half, Y2: to.Y}
		d.TextX, d.TextY = (d.X1+d.X2)/2, d.Y1 // above the middle

		// Beside the arrows that are not level.
		switch {
		case to.Y < from.Y:
			d.TextX, d.TextY = d.TextX-55, d.Y1-50
		case to.Y > from.Y:
			d.TextX, d.TextY = d.TextX-55, d.Y1+110
		}

		p.Hops = append(p.Hops, d)
	}

	for _, c := range interesting(chains(attempts)) {
		p.Some = append(p.Some, t.drawChain(c))
	}

	return p
}

// drawChain draws one order: a row for each attempt, and for each death in between.
func (t *trial) drawChain(c *chain) drawnChain {
	d := drawnChain{Order: c.order, Attempts: len(c.attempts), Replays: c.replays}
	began := c.attempts[0].At
	end := began

	var deaths []*service.Entry

	for _, a := range c.attempts {
		if last := a.At.Add(a.Took); last.After(end) {
			end = last
		}
	}

	for i := range t.entries {
		if e := &t.entries[i]; e.Kind == service.KindKilled && e.At.After(began) && e.At.Before(end) {
			deaths = append(deaths, e)
		}
	}

	y := rowStart
	add := func(r drawnRow) {
		r.Y, r.TextY = y, y-5
		y += rowHeight

		d.Rows = append(d.Rows, r)
	}

	for _, a := range c.attempts {
		for len(deaths) > 0 && deaths[0].At.Before(a.At) {
			add(drawDeath(deaths[0], began))
			deaths = deaths[1:]
		}

		add(drawAttempt(a, began))
	}

	for _, e := range deaths {
		add(drawDeath(e, began))
	}

	d.Height = y + rowHeight

	return d
}

func drawDeath(e *service.Entry, began time.Time) drawnRow {
	x := laneOf(e.What)

	return drawnRow{Killed: true, X1: x, TextX: x, Text: fmt.Sprintf("%s is killed after %d ms", e.What, e.At.Sub(began).Milliseconds())}
}

func drawAttempt(a *service.Entry, began time.Time) drawnRow {
	r := drawnRow{Fate: fateOf(a), X1: laneOf(a.Service), X2: laneOf(callee(a.Method))}

	became := a.Status

	switch {
	case became == "" && a.Code == codes.DeadlineExceeded.String():
		became = "no answer in time"
	case became == "":
		became = "no answer"
	case a.Code != codes.OK.String():
		became += ": " + a.Code
	}

	r.TextX = (r.X1 + r.X2) / 2 // the middle
	r.Text = fmt.Sprintf("%d ms  %s  %s", a.At.Sub(began).Milliseconds(), shortKey(a.Key), became)
	r.Title = fmt.Sprintf("%s calls %s with key %s, attempt %d, for %d ms: %s",
		a.Service, a.Method, a.Key, a.Number, a.Took.Milliseconds(), became)

	return r
}

// shortKey shortens a key. The rest distinguishes the keys on the page.
func shortKey(key string) string {
	const enough = 10
	if len(key) <= enough {
		return key
	}

	return key[:enough] + "…"
}
