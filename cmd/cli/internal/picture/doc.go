// Package picture draws grants: as a tree of text, for Graphviz, and as SVG. A grant with
// several grants above it is drawn once, with an edge from each.
//
// What a grant says of itself comes from whoever made it. It is cut, escaped and set in
// pieces of its own, so that no purpose can look like anything but a purpose.
//
// # Where it stands
//
// graph.go collects the grants, box.go says what stands in each box and places them, and
// text.go, dot.go and svg.go draw.
package picture
