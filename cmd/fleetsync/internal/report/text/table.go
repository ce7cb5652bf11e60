package text

import "strings"

// maxColumn is how wide a column but the last may be.
const maxColumn = 90

// Table prints rows in aligned columns, the first row as their heads. On a terminal no row is wider
// than it; elsewhere the last column is as wide as it takes, up to a bound.
func (p *Printer) Table(head []string, rows []Row) {
	widths := make([]int, len(head))
	measure := func(cells []string) {
		for i, cell := range cells[:len(cells)-1] {
			widths[i] = max(widths[i], min(Width(cell), maxColumn))
		}
	}
	measure(head)
	for i := range rows {
		for j, cell := range rows[i].Cells {
			if j < len(rows[i].Cells)-1 {
				rows[i].Cells[j] = Short(cell, maxColumn)
			}
		}
		measure(rows[i].Cells)
	}
	p.row(Bold, head, widths)
	for _, r := range rows {
		p.row(r.Colour, r.Cells, widths)
	}
}

// Row is a row of a table.
type Row struct {
	Colour Colour
	Cells  []string
}

const maxLine = 500 // columns of the last cell where there is no terminal

func (p *Printer) row(c Colour, cells []string, widths []int) {
	var line strings.Builder
	for i, cell := range cells {
		if i == len(cells)-1 {
			line.WriteString(Short(cell, maxLine))
		} else {
			line.WriteString(Pad(cell, widths[i]) + "  ")
		}
	}
	s := strings.TrimRight(line.String(), " ")
	if p.Width > 0 {
		s = Truncate(s, p.Width)
	}
	p.Line(c, "%s", s)
}
