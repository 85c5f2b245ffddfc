package sturdy_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// This file and its three neighbours hold the repository to rules that the compiler does not
// know. A rule looks at the whole tree and says what is wrong, a line for each complaint;
// TestHouse asks for none, TestEachRuleBites shows each rule something to complain about.

// TestHouse applies every rule to the repository.
func TestHouse(t *testing.T) {
	h := enter(t, os.DirFS("."))
	for _, name := range sorted(rules()) {
		t.Run(name, func(t *testing.T) {
			for _, complaint := range rules()[name](h) {
				t.Error(complaint)
			}
		})
	}
	t.Log(h.figures())
}

// rules lists every rule by the name of its subtest.
func rules() map[string]func(*house) []string {
	return map[string]func(*house) []string{
		"layout":           layout,
		"import graph":     importGraph,
		"third parties":    thirdParties,
		"test support":     testSupport,
		"file length":      fileLength,
		"function length":  functionLength,
		"function median":  functionMedian,
		"doc comments":     docComments,
		"package docs":     packageDocs,
		"no init":          noInit,
		"no package vars":  noPackageVars,
		"allowances":       allowances,
		"ambient access":   ambientAccess,
		"no sleeping":      noSleeping,
		"nothing put off":  nothingPutOff,
		"exported names":   exportedNames,
		"links":            links,
		"paths in prose":   pathsInProse,
		"example readmes":  exampleReadmes,
		"commands are run": commandsAreRun,
	}
}

const modulePath = "github.com/sturdyrt/sturdy"

// house is the repository as the rules see it.
type house struct {
	fsys   fs.FS
	fset   *token.FileSet
	files  []*source         // Go files, in the order of their paths
	texts  map[string]string // path to content of everything that people write
	nested []string          // folders that are modules of their own
}

// source is one Go file.
type source struct {
	path, dir string // slash-separated, relative to the root; dir is "." for the root
	test      bool   // a test file, or part of a test-support package
	generated bool
	lines     int
	tree      *ast.File
}

// enter reads the tree below fsys.
func enter(tb testing.TB, fsys fs.FS) *house {
	tb.Helper()
	h := &house{fsys: fsys, fset: token.NewFileSet(), texts: map[string]string{}}
	err := fs.WalkDir(fsys, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if hidden := strings.HasPrefix(d.Name(), ".") && p != "." && p != ".ci"; hidden || h.ignored(p) {
				return fs.SkipDir
			}
			return nil
		}
		return h.read(p)
	})
	if err != nil {
		tb.Fatal(err)
	}
	return h
}

// read takes in one file, if it is of a sort that people write.
func (h *house) read(p string) error {
	switch ext := path.Ext(p); {
	case path.Base(p) == "go.mod" && p != "go.mod":
		h.nested = append(h.nested, path.Dir(p))
	case ext == ".go", ext == ".md", ext == ".capnp", ext == ".txtar", ext == ".star", path.Dir(p) == ".ci":
		content, err := fs.ReadFile(h.fsys, p)
		if err != nil {
			return err
		}
		h.texts[p] = string(content)
		if ext == ".go" && !strings.Contains("/"+p, "/testdata/") {
			return h.parse(p, content)
		}
	}
	return nil
}

func (h *house) parse(p string, content []byte) error {
	tree, err := parser.ParseFile(h.fset, p, content, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	h.files = append(h.files, &source{
		path: p, dir: path.Dir(p),
		test:      strings.HasSuffix(p, "_test.go") || supports(path.Dir(p)),
		generated: ast.IsGenerated(tree),
		lines:     strings.Count(string(content), "\n"),
		tree:      tree,
	})
	return nil
}

// supports reports whether dir is a package that exists for the tests of others.
func supports(dir string) bool { return strings.HasSuffix(path.Base(dir), "test") }

// ignored reports whether p is something that .gitignore keeps out of the repository, such
// as a world that an example has left.
func (h *house) ignored(p string) bool {
	list, err := fs.ReadFile(h.fsys, ".gitignore")
	if err != nil {
		return false
	}
	for pattern := range strings.Lines(string(list)) {
		pattern = strings.TrimSpace(pattern)
		match := path.Base(p)
		if strings.HasPrefix(pattern, "/") {
			match = p
		}
		if ok, err := path.Match(strings.Trim(pattern, "/"), match); ok && err == nil {
			return true
		}
	}
	return false
}

// apart reports whether dir belongs to a module of its own.
func (h *house) apart(dir string) bool {
	return slices.ContainsFunc(h.nested, func(m string) bool { return dir == m || strings.HasPrefix(dir, m+"/") })
}

// owner is the top-level folder that f is in.
func (f *source) owner() string { return strings.Split(f.dir, "/")[0] }

// imports lists the import paths of f.
func (f *source) imports() (list []string) {
	for _, spec := range f.tree.Imports {
		list = append(list, strings.Trim(spec.Path.Value, `"`))
	}
	return list
}

// written yields the files that people write and users run.
func (h *house) written(yield func(*source) bool) {
	for _, f := range h.files {
		if !f.test && !f.generated && !yield(f) {
			return
		}
	}
}

// functions yields the functions and methods of the written files.
func (h *house) functions(yield func(*source, *ast.FuncDecl) bool) {
	for f := range h.written {
		for _, decl := range f.tree.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && !yield(f, fn) {
				return
			}
		}
	}
}

// at names the place of n in the complaints.
func (h *house) at(n ast.Node) string {
	p := h.fset.Position(n.Pos())
	return fmt.Sprintf("%s:%d", p.Filename, p.Line)
}

func (h *house) height(n ast.Node) int {
	return h.fset.Position(n.End()).Line - h.fset.Position(n.Pos()).Line + 1
}

// layout: what may stand at the top is fixed, so that a newcomer sees everything at once.
func layout(h *house) (wrong []string) {
	allowed := []string{
		"runtime", "objstore", "caps", "rpc", "examples", "cmd", "go.mod", "go.sum",
		"README.md", "LICENSE", "ARCHITECTURE.md", "CHANGELOG.md",
		"house_test.go", "house_bite_test.go", "house_code_test.go", "house_docs_test.go",
	}
	entries, err := fs.ReadDir(h.fsys, ".")
	if err != nil {
		return []string{err.Error()}
	}
	for _, e := range entries {
		if n := e.Name(); !slices.Contains(allowed, n) && n[0] != '.' && !h.ignored(n) {
			wrong = append(wrong, n+": does not belong at the top of the repository")
		}
	}
	return wrong
}

// importGraph: which of our packages may know which.
func importGraph(h *house) (wrong []string) {
	may := map[string][]string{
		"caps":     nil,
		"objstore": nil,
		"runtime":  {"caps", "objstore"},
		"rpc":      {"caps", "objstore", "runtime"},
		"cmd":      {"caps", "objstore", "runtime", "rpc"},
		"examples": {"caps", "objstore", "runtime", "rpc", "cmd"}, // a REPL that knows their kinds
	}
	for _, f := range h.files {
		if h.apart(f.dir) {
			continue
		}
		for _, imp := range f.imports() {
			ours, ok := strings.CutPrefix(imp, modulePath+"/")
			to := strings.Split(ours, "/")[0]
			if f.test && to == "examples" {
				continue // tests show how it is used
			}
			if ok && to != f.owner() && !slices.Contains(may[f.owner()], to) {
				wrong = append(wrong, fmt.Sprintf("%s: %s may not import %s", f.path, f.owner(), to))
			}
		}
	}
	return wrong
}

// thirdParties: each large dependency has one package that knows it.
func thirdParties(h *house) (wrong []string) {
	only := map[string]string{
		"capnproto.org/go/capnp":    "rpc",
		"github.com/hashicorp/raft": "rpc",
		"go.etcd.io/bbolt":          "objstore",
	}
	for _, f := range h.files {
		for _, imp := range f.imports() {
			for prefix, owner := range only {
				if strings.HasPrefix(imp, prefix) && f.owner() != owner && !h.apart(f.dir) {
					wrong = append(wrong, fmt.Sprintf("%s: only %s may import %s", f.path, owner, imp))
				}
			}
		}
	}
	return wrong
}

// testSupport: a package made for tests is imported by tests and its like only.
func testSupport(h *house) (wrong []string) {
	for f := range h.written {
		for _, imp := range f.imports() {
			if strings.HasPrefix(imp, modulePath+"/") && supports(imp) {
				wrong = append(wrong, fmt.Sprintf("%s: %s is for tests", f.path, imp))
			}
		}
	}
	return wrong
}

// nothingPutOff: what is not finished is not in the repository.
func nothingPutOff(h *house) (wrong []string) {
	marks := regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|X` + `XX)\b`)
	for p, text := range h.texts {
		if mark := marks.FindString(text); mark != "" {
			wrong = append(wrong, p+": says "+mark)
		}
	}
	return wrong
}

// figures sums up what the budgets measure.
func (h *house) figures() string {
	files, lines := 0, 0
	for f := range h.written {
		files, lines = files+1, lines+f.lines
	}
	heights := h.heights()
	report := fmt.Sprintf("%d files, %d lines, %d functions", files, lines, len(heights))
	if len(heights) > 0 {
		report += fmt.Sprintf(", median %d lines, longest %d", heights[len(heights)/2], heights[len(heights)-1])
	}
	names := h.exported()
	for _, dir := range sorted(names) {
		report += fmt.Sprintf("\n%s: %d exported names", dir, len(names[dir]))
	}
	return report
}
