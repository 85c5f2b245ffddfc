package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sturdyrt/sturdy/examples/share"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// tree prints the grants on a document, each below the one it came through.
func (s story) tree(doc share.Document) error {
	s.say("the owner looks at who has what:")
	var all []sturdy.GrantInfo
	for g, err := range s.rt.Grants(s.ctx, doc.Ref) {
		if err != nil {
			return err
		}
		all = append(all, g)
	}
	s.branch(all, "", 1)
	return nil
}

// branch prints the grants that stand below another; "" are those at the top. What was
// granted through several stands below each.
func (s story) branch(all []sturdy.GrantInfo, above string, depth int) {
	for _, g := range all {
		if top := above == "" && len(g.Above) == 0; top || slices.Contains(g.Above, above) {
			s.say("%-12s %-25s uses %d%s", strings.Repeat("    ", depth)+g.For, allows(g), g.Uses, state(g))
			s.branch(all, g.ID, depth+1)
		}
	}
}

// allows leaves a grant's rights out where the methods say more.
func allows(g sturdy.GrantInfo) string {
	text := g.Rights
	if len(g.Only) > 0 {
		text = strings.Join(g.Only, ", ")
	}
	if g.Deep {
		text += ", membrane"
	}
	if !g.Until.IsZero() {
		text += fmt.Sprintf(", %d days", g.Until.Sub(g.Since).Round(24*time.Hour)/(24*time.Hour))
	}
	return text
}

func state(g sturdy.GrantInfo) string {
	switch {
	case !g.Revoked.IsZero():
		return ", revoked"
	case !g.Alive:
		return ", ended"
	}
	return ""
}
