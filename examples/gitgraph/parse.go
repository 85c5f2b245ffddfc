package gitgraph

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// entry is a commit as git prints it.
type entry struct {
	hash    string
	parents []string
	author  string // name and address
	when    time.Time
	message string
	changes []line
}

// line is one file of an entry; -1 where git counts no lines.
type line struct {
	path           string
	added, removed int64
}

// parser reads what git diff-tree -z prints for format: tokens that end in NUL. A commit is
// six of them and an empty one; then come its files, and the first of these begins with a
// newline. No hash looks like a file, and neither paths nor messages can hold a NUL.
type parser struct {
	r    *bufio.Reader
	long []byte // scratch for tokens longer than the reader's buffer
	head string // the first token of the next commit, once read
	rest *entry // the commit being read when the output ended
}

func newParser(r io.Reader) *parser { return &parser{r: bufio.NewReaderSize(r, 64<<10)} }

var errOutput = errors.New("git diff-tree printed something unexpected")

// next returns the next commit that is followed by another; io.EOF at the end, where rest is
// the last one.
func (p *parser) next() (*entry, error) {
	if p.head == "" {
		tok, err := p.token()
		if err != nil {
			return nil, err
		}
		p.head = string(tok)
	}
	e, err := p.header()
	if err != nil {
		return nil, noEOF(err)
	}
	for {
		tok, err := p.token()
		if err == io.EOF {
			p.rest = e
			return nil, io.EOF
		}
		if err != nil {
			return nil, err
		}
		is, err := p.change(e, bytes.TrimPrefix(tok, []byte("\n")))
		if err != nil {
			return nil, noEOF(err)
		}
		if !is {
			p.head = string(tok)
			return e, nil
		}
	}
}

// header reads the six tokens of a commit, of which head is the first.
func (p *parser) header() (*entry, error) {
	fields := [6]string{p.head}
	for i := 1; i < len(fields); i++ {
		tok, err := p.token()
		if err != nil {
			return nil, err
		}
		fields[i] = string(tok)
	}
	if tok, err := p.token(); err != nil || len(tok) > 0 {
		return nil, errors.Join(err, errOutput)
	}
	if !isHash(fields[0]) {
		return nil, fmt.Errorf("%w: %q instead of a hash", errOutput, fields[0])
	}
	// A commit may say anything of its time; what git cannot read it prints as nothing.
	seconds, _ := strconv.ParseInt(fields[4], 10, 64)
	return &entry{
		hash: fields[0], parents: strings.Fields(fields[1]),
		author: fields[2] + " <" + fields[3] + ">",
		when:   stamp(seconds), message: cut(strings.TrimRight(fields[5], "\n")),
	}, nil
}

// change adds the file that tok describes to e; is reports whether it describes one.
func (p *parser) change(e *entry, tok []byte) (is bool, err error) {
	if len(tok) > 0 && tok[0] == ':' { // of --raw: the path follows
		path, err := p.token()
		e.changes = append(e.changes, line{string(path), -1, -1})
		return true, err
	}
	a, rest, ok := bytes.Cut(tok, []byte("\t"))
	r, path, ok2 := bytes.Cut(rest, []byte("\t"))
	if !ok || !ok2 {
		return false, nil
	}
	l := line{path: string(path), added: -1, removed: -1}
	if string(a) != "-" || string(r) != "-" {
		var err1, err2 error
		l.added, err1 = strconv.ParseInt(string(a), 10, 64)
		l.removed, err2 = strconv.ParseInt(string(r), 10, 64)
		if err1 != nil || err2 != nil || l.added < 0 || l.removed < 0 {
			return false, fmt.Errorf("%w: %q instead of a file", errOutput, tok)
		}
	}
	e.changes = append(e.changes, l)
	return true, nil
}

// token returns what stands before the next NUL; it is valid until the next call. What stands
// behind the last one is no token: it was cut off.
func (p *parser) token() ([]byte, error) {
	tok, err := p.r.ReadSlice(0)
	if err == nil {
		return tok[:len(tok)-1], nil
	}
	p.long = p.long[:0]
	for err == bufio.ErrBufferFull {
		p.long = append(p.long, tok...)
		tok, err = p.r.ReadSlice(0)
	}
	if err != nil {
		return nil, err
	}
	p.long = append(p.long, tok...)
	return p.long[:len(p.long)-1], nil
}

// noEOF is err, of a place where the output must not end.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func isHash(s string) bool {
	return len(s) >= 40 && strings.Trim(s, "0123456789abcdef") == ""
}

// stamp is a time that can be stored and printed; what lies outside of the years that RFC
// 3339 can name becomes the nearest that it can.
func stamp(seconds int64) time.Time {
	const last = 253402300799 // 9999-12-31T23:59:59Z
	return time.Unix(min(max(seconds, -62135596800+86400), last), 0).UTC()
}

// cut is message, bounded: a state is copied whole.
func cut(message string) string {
	const most = 32 << 10
	if len(message) <= most {
		return message
	}
	return strings.ToValidUTF8(message[:most], "")
}
