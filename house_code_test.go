package sturdy_test

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/token"
	"iter"
	"maps"
	"slices"
	"strings"
)

// fileLength: a file is one idea that can be read in one go.
func fileLength(h *house) (wrong []string) {
	for f := range h.written {
		if f.lines > 600 {
			wrong = append(wrong, fmt.Sprintf("%s: %d lines, more than 600", f.path, f.lines))
		}
	}
	return wrong
}

// functionLength: a function fits on a screen.
func functionLength(h *house) (wrong []string) {
	for _, fn := range h.functions {
		if n := h.height(fn); n > 80 {
			wrong = append(wrong, fmt.Sprintf("%s: %s has %d lines, more than 80", h.at(fn), fn.Name.Name, n))
		}
	}
	return wrong
}

// functionMedian: most functions are short.
func functionMedian(h *house) []string {
	heights := h.heights()
	if len(heights) == 0 || heights[len(heights)/2] <= 10 {
		return nil
	}
	return []string{fmt.Sprintf("the median function has %d lines, more than 10", heights[len(heights)/2])}
}

// heights lists the lines of each function, ascending.
func (h *house) heights() (list []int) {
	for _, fn := range h.functions {
		list = append(list, h.height(fn))
	}
	slices.Sort(list)
	return list
}

// docComments: what can be used from outside is explained, beginning with its name.
func docComments(h *house) (wrong []string) {
	for f := range h.written {
		if f.tree.Name.Name == "main" {
			continue
		}
		for name, doc := range declared(f.tree) {
			if doc == "" {
				wrong = append(wrong, fmt.Sprintf("%s: %s has no doc comment", h.at(name), name.Name))
			} else if !begins(doc, name.Name) {
				wrong = append(wrong, fmt.Sprintf("%s: the doc comment of %s begins with %q", h.at(name), name.Name, strings.Fields(doc)[0]))
			}
		}
	}
	return wrong
}

// begins reports whether doc begins with name, or with an article and name.
func begins(doc, name string) bool {
	words := strings.Fields(doc)
	if slices.Contains([]string{"A", "An", "The"}, words[0]) && len(words) > 1 {
		words = words[1:]
	}
	return strings.TrimRight(words[0], ",:;.") == name
}

// declared yields the exported types, functions, methods of exported types, constants and
// variables of a file with their doc comments. For a constant or variable any comment will
// do, on its line or over its group; it is yielded as if it began with the name.
func declared(tree *ast.File) iter.Seq2[*ast.Ident, string] {
	return func(yield func(*ast.Ident, string) bool) {
		for _, decl := range tree.Decls {
			switch decl := decl.(type) {
			case *ast.FuncDecl:
				if decl.Name.IsExported() && receiverExported(decl) && !yield(decl.Name, decl.Doc.Text()) {
					return
				}
			case *ast.GenDecl:
				if !declaredInGroup(decl, yield) {
					return
				}
			}
		}
	}
}

func declaredInGroup(decl *ast.GenDecl, yield func(*ast.Ident, string) bool) bool {
	for _, spec := range decl.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			doc := cmp.Or(spec.Doc.Text(), decl.Doc.Text())
			if spec.Name.IsExported() && !yield(spec.Name, doc) {
				return false
			}
		case *ast.ValueSpec:
			doc := cmp.Or(spec.Doc.Text(), spec.Comment.Text(), decl.Doc.Text())
			for _, name := range spec.Names {
				if doc != "" {
					doc = name.Name + " " + doc
				}
				if name.IsExported() && !yield(name, doc) {
					return false
				}
			}
		}
	}
	return true
}

func receiverExported(fn *ast.FuncDecl) bool {
	if fn.Recv == nil {
		return true
	}
	exported := false
	ast.Inspect(fn.Recv.List[0].Type, func(n ast.Node) bool {
		name, ok := n.(*ast.Ident)
		exported = exported || ok && name.IsExported()
		return !ok
	})
	return exported
}

// packageDocs: every package says what it is for.
func packageDocs(h *house) (wrong []string) {
	docs := map[string]string{}
	for _, f := range h.files {
		if !strings.HasSuffix(f.path, "_test.go") && !f.generated {
			docs[f.dir] += f.tree.Doc.Text()
			if f.tree.Doc != nil && f.tree.Name.Name != "main" && !strings.HasPrefix(f.tree.Doc.Text(), "Package "+f.tree.Name.Name+" ") {
				wrong = append(wrong, f.path+": the package doc does not begin with: Package "+f.tree.Name.Name)
			}
		}
	}
	for _, dir := range sorted(docs) {
		if docs[dir] == "" {
			wrong = append(wrong, dir+": has no package doc")
		}
	}
	return wrong
}

// noInit: nothing happens because something was imported.
func noInit(h *house) (wrong []string) {
	for _, fn := range h.functions {
		if fn.Name.Name == "init" && fn.Recv == nil {
			wrong = append(wrong, h.at(fn)+": an init function")
		}
	}
	return wrong
}

// allowedVars are the package-level variables that may change, each with the reason.
func allowedVars() map[string]string {
	return map[string]string{
		"caps.lastMaker": "numbers makers; the number is an identity within the process and no authority",
		"caps.codecs":    "remembers what depends on the program's types alone",
		"runtime.maker":  "seals the Refs of every runtime in the process; it never changes",
	}
}

// noPackageVars: no state that two runtimes in one process would share.
func noPackageVars(h *house) (wrong []string) {
	allowed := allowedVars()
	for f := range h.written {
		changed := h.changed(f.dir)
		for name, value := range variables(f.tree) {
			fixed := name.Name == "_" || constantInEffect(value) && !changed[name.Name]
			if !fixed && allowed[f.dir+"."+name.Name] == "" {
				wrong = append(wrong, h.at(name)+": package-level variable "+name.Name)
			}
		}
	}
	return wrong
}

// allowances: what is allowed is there, so that a list of exceptions does not outlive them.
func allowances(h *house) (wrong []string) {
	seen := map[string]bool{}
	for f := range h.written {
		seen[f.path] = true
		for name := range variables(f.tree) {
			seen[f.dir+"."+name.Name] = true
		}
	}
	for _, key := range slices.Concat(sorted(allowedVars()), sorted(edges())) {
		if dir := key[:strings.IndexAny(key, "./")]; !seen[key] && h.has(dir) {
			wrong = append(wrong, key+": is allowed and does not exist")
		}
	}
	return wrong
}

// variables yields the package-level variables of a file, but for the embedded ones, each
// with its initial value or nil.
func variables(tree *ast.File) iter.Seq2[*ast.Ident, ast.Expr] {
	return func(yield func(*ast.Ident, ast.Expr) bool) {
		for _, decl := range tree.Decls {
			group, ok := decl.(*ast.GenDecl)
			if !ok || group.Tok != token.VAR || embeds(group) {
				continue
			}
			for _, spec := range group.Specs {
				spec := spec.(*ast.ValueSpec)
				for i, name := range spec.Names {
					var value ast.Expr
					if i < len(spec.Values) {
						value = spec.Values[i]
					}
					if !yield(name, value) {
						return
					}
				}
			}
		}
	}
}

func embeds(group *ast.GenDecl) bool {
	return group.Doc != nil && slices.ContainsFunc(group.Doc.List, func(c *ast.Comment) bool {
		return strings.HasPrefix(c.Text, "//go:embed ")
	})
}

// constantInEffect: a table, a type, a kind, an expression, and an error that is made where
// it is declared.
func constantInEffect(value ast.Expr) bool {
	switch value := value.(type) {
	case *ast.CompositeLit:
		_, list := value.Type.(*ast.ArrayType)
		_, table := value.Type.(*ast.MapType)
		return list || table
	case *ast.CallExpr:
		for range uses(value.Fun, []string{"sturdy.Define", "sturdy.Kinds", "errors.New", "reflect.TypeFor", "regexp.MustCompile"}) {
			return true
		}
	}
	return false
}

// changed lists the names that the code in dir assigns to, clears or takes the address of,
// and that are not local where it does so. The address of an element does not count: that
// is how a table of large rows is read.
func (h *house) changed(dir string) map[string]bool {
	names := map[string]bool{}
	for _, f := range h.files {
		if f.dir != dir {
			continue
		}
		for _, decl := range f.tree.Decls {
			here := local(decl)
			for e := range targets(decl) {
				if name := root(e); !here[name] {
					names[name] = true
				}
			}
		}
	}
	return names
}

// local lists the names that decl declares inside itself.
func local(decl ast.Decl) map[string]bool {
	names := map[string]bool{}
	ast.Inspect(decl, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for _, e := range n.Lhs {
				if n.Tok == token.DEFINE {
					names[root(e)] = true
				}
			}
		case *ast.DeclStmt:
			for _, spec := range n.Decl.(*ast.GenDecl).Specs {
				if spec, ok := spec.(*ast.ValueSpec); ok {
					for _, name := range spec.Names {
						names[name.Name] = true
					}
				}
			}
		case *ast.Field:
			for _, name := range n.Names {
				names[name.Name] = true
			}
		}
		return true
	})
	return names
}

// targets yields what decl may change.
func targets(decl ast.Decl) iter.Seq[ast.Expr] {
	var list []ast.Expr
	ast.Inspect(decl, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if n.Tok != token.DEFINE {
				list = append(list, n.Lhs...)
			}
		case *ast.IncDecStmt:
			list = append(list, n.X)
		case *ast.UnaryExpr:
			if _, element := n.X.(*ast.IndexExpr); n.Op == token.AND && !element {
				list = append(list, n.X)
			}
		case *ast.CallExpr:
			if fun := root(n.Fun); fun == "delete" || fun == "clear" {
				list = append(list, n.Args...)
			}
		}
		return true
	})
	return slices.Values(list)
}

// root is the name that an expression such as a.b[c] begins with.
func root(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return root(e.X)
	case *ast.IndexExpr:
		return root(e.X)
	case *ast.StarExpr:
		return root(e.X)
	case *ast.ParenExpr:
		return root(e.X)
	}
	return ""
}

// edges are the files that may reach for time or chance, each with the reason.
func edges() map[string]string {
	return map[string]string{
		"objstore/osfiles.go": "fills in what Options leave out",
		"runtime/open.go":     "fills in what Options leave out",
		"runtime/random.go":   "uses a generator whose seed it is given",
	}
}

// ambientAccess: time, chance and the machine come in through what the caller passes; only
// the edges reach for them.
func ambientAccess(h *house) (wrong []string) {
	clock := []string{"time.Now", "time.Since", "time.Until", "time.Sleep"}
	for f := range h.written {
		banned := []string{"math/rand", "math/rand/v2", "crypto/rand"}
		switch {
		case f.owner() == "caps":
			banned = append(banned, "os", "net", "syscall")
		case f.owner() != "runtime" && f.owner() != "objstore", edges()[f.path] != "":
			continue
		}
		for _, imp := range f.imports() {
			if slices.Contains(banned, imp) || f.owner() == "caps" && (strings.HasPrefix(imp, "net/") || strings.HasPrefix(imp, "os/")) {
				wrong = append(wrong, f.path+": imports "+imp)
			}
		}
		for use := range uses(f.tree, clock) {
			wrong = append(wrong, h.at(use)+": reads the clock")
		}
	}
	return wrong
}

// noSleeping: a test waits for an event. In a bubble of testing/synctest time is not real,
// and sleeping is how it is moved.
func noSleeping(h *house) (wrong []string) {
	for _, f := range h.files {
		if !f.test {
			continue
		}
		for _, decl := range f.tree.Decls {
			bubble := false
			for range uses(decl, []string{"synctest.Test", "synctest.Wait"}) {
				bubble = true
			}
			for use := range uses(decl, []string{"time.Sleep"}) {
				if !bubble {
					wrong = append(wrong, h.at(use)+": a test that sleeps")
				}
			}
		}
	}
	return wrong
}

// uses yields each mention of a package's name below n, called or not.
func uses(n ast.Node, names []string) iter.Seq[ast.Node] {
	return func(yield func(ast.Node) bool) {
		more := true
		ast.Inspect(n, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok && more {
				if from, ok := sel.X.(*ast.Ident); ok && slices.Contains(names, from.Name+"."+sel.Sel.Name) {
					more = yield(sel)
				}
			}
			return more
		})
	}
}

// exportedNames: what a user must learn is bounded.
func exportedNames(h *house) (wrong []string) {
	limits := map[string]int{"caps": 60, "objstore": 40, "runtime": 80}
	names := h.exported()
	for _, dir := range sorted(limits) {
		if n := len(names[dir]); n > limits[dir] {
			wrong = append(wrong, fmt.Sprintf("%s: %d exported names, more than %d: %v", dir, n, limits[dir], names[dir]))
		}
	}
	return wrong
}

// exported lists the exported top-level names of each package; methods are not among them.
func (h *house) exported() map[string][]string {
	names := map[string][]string{}
	for f := range h.written {
		methods := map[*ast.Ident]bool{}
		for _, decl := range f.tree.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv != nil {
				methods[fn.Name] = true
			}
		}
		for name := range declared(f.tree) {
			if !methods[name] && f.tree.Name.Name != "main" {
				names[f.dir] = append(names[f.dir], name.Name)
			}
		}
	}
	return names
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
