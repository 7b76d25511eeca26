package console

import (
	"fmt"
	"time"
)

// The size of the picture, in SVG units.
const (
	barWidth      = 10
	barGap        = 1
	pictureWidth  = barCount * barWidth
	pictureHeight = 100
)

// The CSS classes.
const (
	classExecuted = "executed"
	classReplayed = "replayed"
	classUnknown  = "unknown"
	classOther    = "other"
)

// rect is a rectangle of a picture.
type rect struct {
	X, Y, Width, Height int
	Class               string
	// Label describes the rectangle.
	Label string
}

// picture is the data of the SVG template.
type picture struct {
	Width, Height int
	Rects         []rect
	// Top is the value at full height.
	Top int
	// Of names the counted things.
	Of string
	// Summary describes the picture in words.
	Summary string
	Legend  []legend
	// Note names the source of the numbers.
	Note string
	// Empty reports that there is nothing to draw.
	Empty bool
}

type legend struct{ Class, Name string }

// drawCalls draws the calls of a process.
func drawCalls(bars []tally) picture {
	var sum tally

	top := 0

	for _, bar := range bars {
		sum = sum.plus(bar)

		top = max(top, bar.Total())
	}

	p := picture{
		Width: pictureWidth, Height: pictureHeight, Top: top, Of: "calls in 10 s", Empty: top == 0,
		Summary: fmt.Sprintf("Last 15 minutes: %s. %d executed, %d replayed, %d unknown, %d others.",
			count(sum.Total(), "call"), sum.Executed, sum.Replayed, sum.Unknown, sum.Other),
		Legend: []legend{
			{classExecuted, "executed"}, {classReplayed, "replayed"}, {classUnknown, "unknown"}, {classOther, "rejected or released"},
		},
		Note: "The calls of this process.",
	}

	for i, bar := range bars {
		label := fmt.Sprintf("%s ago: %d executed, %d replayed, %d unknown, %d others",
			ago(time.Duration(len(bars)-1-i)*barLength), bar.Executed, bar.Replayed, bar.Unknown, bar.Other)
		p.stack(i, label, part{bar.Executed, classExecuted}, part{bar.Replayed, classReplayed}, part{bar.Other, classOther},
			part{bar.Unknown, classUnknown})
	}

	return p
}

// drawSamples draws the number of records at each sample.
func drawSamples(kept []sample, now time.Time) picture {
	top := 0
	for _, s := range kept {
		top = max(top, s.Running+s.Unknown)
	}

	p := picture{
		Width: pictureWidth, Height: pictureHeight, Top: top, Of: "records", Empty: top == 0,
		Summary: fmt.Sprintf("Last 15 minutes: the store was read %s.", count(len(kept), "time")),
		Legend:  []legend{{classExecuted, "running"}, {classUnknown, "unknown"}},
		Note:    "This console does not see calls. The picture shows the running and unknown records at each read of the store.",
	}

	for _, s := range kept {
		i := int(barOf(s.At) - barOf(now) + barCount - 1)
		label := fmt.Sprintf("%s ago: %d running, %d unknown", ago(now.Sub(s.At)), s.Running, s.Unknown)
		p.stack(i, label, part{s.Running, classExecuted}, part{s.Unknown, classUnknown})
	}

	return p
}

type part struct {
	count int
	class string
}

// stack draws the parts of a bar on top of each other. A nonzero part is always visible.
func (p *picture) stack(place int, label string, parts ...part) {
	bottom := pictureHeight

	for _, part := range parts {
		if part.count == 0 {
			continue
		}

		height := max(2, part.count*pictureHeight/p.Top)
		bottom = max(0, bottom-height)
		p.Rects = append(p.Rects, rect{
			X: place * barWidth, Y: bottom, Width: barWidth - barGap, Height: height, Class: part.class, Label: label,
		})
	}
}

// count formats a number of things.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}

	return fmt.Sprintf("%d %ss", n, thing)
}
