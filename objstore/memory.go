package objstore

import (
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// MemoryFiles is an FS in memory that keeps what a disk keeps: what was written and not
// synced is lost in a Crash, and so is a name that was made and not SyncDir'ed. It serves
// worlds that need not last, and tests. Only the file that bbolt maps is a real one, until
// Close; its content survives a Crash, as bbolt syncs what it commits.
type MemoryFiles struct {
	mu      sync.Mutex
	dead    bool // a crash has ended it
	names   map[string]*memoryNode
	durable map[string]*memoryNode // names as of the last SyncDir
	holder  time.Time              // who has the lock, if locked
	locked  int                    // -1: exclusive, else the number of shared locks
	temp    *memoryTemp
	id      int // of this copy of the world
	hook    func(op, name string, size int) (done int, err error)
	log     []string // nil: not kept
}

// memoryTemp is where the mapped files are. A world and its successors after crashes share
// it.
type memoryTemp struct {
	mu   sync.Mutex
	dir  string // empty: not made yet
	made int    // files
}

// memoryNode is a file apart from its names.
type memoryNode struct {
	data   []byte
	synced int64                   // size as of the last Sync
	torn   map[int64]*[sector]byte // what Sync has not covered: the durable content by offset
	path   string                  // of a mapped file; empty: an ordinary one
}

type memoryFile struct {
	fs   *MemoryFiles
	node *memoryNode
	name string
}

// NewMemory returns an empty MemoryFiles.
func NewMemory() *MemoryFiles {
	return &MemoryFiles{names: map[string]*memoryNode{}, durable: map[string]*memoryNode{}, temp: &memoryTemp{}}
}

// Hook has fn asked before every operation that changes something: "create", "write",
// "truncate", "sync", "rename", "remove", "syncdir" and "map". size is that of a write.
// An error makes the operation fail with it, a write after done bytes. Nil removes it.
func (m *MemoryFiles) Hook(fn func(op, name string, size int) (done int, err error)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hook = fn
}

// Log starts, on the first call, to record the operations that Hook is asked about, and
// returns those recorded so far.
func (m *MemoryFiles) Log() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.log == nil {
		m.log = []string{}
	}
	return slices.Clone(m.log)
}

// Crash is a power failure. It returns the files as the machine finds them afterwards:
// without what was not synced, except that each unsynced sector, name or change of size
// stays if keep says so; nil: none does. m itself is dead: whoever goes on using it gets
// errors, and changes nothing. Hook and Log start afresh.
func (m *MemoryFiles) Crash(keep func() bool) (*MemoryFiles, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if keep == nil {
		keep = func() bool { return false }
	}
	m.dead = true
	after := &MemoryFiles{names: maps.Clone(m.names), temp: m.temp, id: m.id}
	for _, name := range slices.Sorted(maps.Keys(m.allNames())) {
		if m.names[name] != m.durable[name] && !keep() {
			if m.durable[name] == nil {
				delete(after.names, name)
			} else {
				after.names[name] = m.durable[name]
			}
		}
	}
	after.durable = maps.Clone(after.names)
	for _, name := range slices.Sorted(maps.Keys(after.names)) {
		if n := after.names[name]; n.path == "" {
			n.crash(keep)
		} else if err := after.copyMapped(n); err != nil {
			return nil, err
		}
	}
	return after, nil
}

func (m *MemoryFiles) allNames() map[string]*memoryNode {
	all := maps.Clone(m.durable)
	maps.Copy(all, m.names)
	return all
}

// Close removes the real file, also of those that m came from in a Crash. The worlds opened
// on them must be closed before.
func (m *MemoryFiles) Close() error {
	m.temp.mu.Lock()
	defer m.temp.mu.Unlock()
	if m.temp.dir == "" {
		return nil
	}
	dir := m.temp.dir
	m.temp.dir = ""
	return os.RemoveAll(dir)
}

// Copied makes m look like a copy of itself, as if the directory had been copied.
func (m *MemoryFiles) Copied() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.id++
}

// ReadFile returns what a reader of the file sees now.
func (m *MemoryFiles) ReadFile(name string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.names[name]
	if n == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	if n.path != "" {
		return os.ReadFile(n.path)
	}
	return slices.Clone(n.data), nil
}

// WriteFile replaces the content of a file and makes it durable, hook or no hook.
func (m *MemoryFiles) WriteFile(name string, data []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.names[name]
	if n == nil {
		n = &memoryNode{}
		m.names[name] = n
	}
	m.durable[name] = n
	if n.path != "" {
		return os.WriteFile(n.path, data, 0o600)
	}
	n.data, n.synced, n.torn = slices.Clone(data), int64(len(data)), nil
	return nil
}

// Lock implements FS.
func (m *MemoryFiles) Lock(since time.Time, shared bool) (unlock func() error, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.locked < 0 || m.locked > 0 && !shared:
		return nil, fmt.Errorf("memory: %w by this process (since %s)", ErrInUse, m.holder.Local().Format("15:04"))
	case shared:
		m.locked++
	default:
		m.locked = -1
	}
	m.holder = since
	return func() error {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.locked = max(m.locked, 1) - 1
		return nil
	}, nil
}

// Identity implements FS.
func (m *MemoryFiles) Identity(string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return fmt.Sprintf("memory %d", m.id), nil
}

// OpenFile implements FS.
func (m *MemoryFiles) OpenFile(name string, flag int, _ fs.FileMode) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.node(name, flag)
	if err != nil {
		return nil, err
	}
	if flag&os.O_TRUNC != 0 {
		n.resize(0)
	}
	return &memoryFile{fs: m, node: n, name: name}, nil
}

// OpenMapped implements FS.
func (m *MemoryFiles) OpenMapped(name string, flag int, perm fs.FileMode) (*os.File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.may("map", name, 0); err != nil {
		return nil, err
	}
	n, err := m.node(name, flag)
	if err != nil {
		return nil, err
	}
	if n.path == "" {
		if n.path, err = m.temp.newPath(); err != nil {
			return nil, err
		}
	}
	return os.OpenFile(n.path, flag, perm)
}

func (t *memoryTemp) newPath() (path string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dir == "" {
		t.dir, err = os.MkdirTemp(memoryDir(), "sturdy-memory-")
	}
	if t.dir == "" {
		t.dir, err = os.MkdirTemp("", "sturdy-memory-")
	}
	if err != nil {
		return "", err
	}
	t.made++
	return filepath.Join(t.dir, fmt.Sprint(t.made)), nil
}

// copyMapped gives n a file of its own: whoever had it open goes on with the old one.
func (m *MemoryFiles) copyMapped(n *memoryNode) error {
	data, err := os.ReadFile(n.path)
	if err != nil {
		return err
	}
	if n.path, err = m.temp.newPath(); err != nil {
		return err
	}
	return os.WriteFile(n.path, data, 0o600)
}

func (m *MemoryFiles) node(name string, flag int) (*memoryNode, error) {
	if n := m.names[name]; n != nil {
		if flag&os.O_EXCL != 0 {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrExist}
		}
		return n, nil
	}
	if flag&os.O_CREATE == 0 {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	if _, err := m.may("create", name, 0); err != nil {
		return nil, err
	}
	n := &memoryNode{}
	m.names[name] = n
	return n, nil
}

// Rename implements FS.
func (m *MemoryFiles) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.may("rename", from+" "+to, 0); err != nil {
		return err
	}
	if m.names[from] == nil {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	m.names[to] = m.names[from]
	delete(m.names, from)
	return nil
}

// Remove implements FS.
func (m *MemoryFiles) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.may("remove", name, 0); err != nil {
		return err
	}
	if m.names[name] == nil {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	delete(m.names, name)
	return nil
}

// ReadDir implements FS.
func (m *MemoryFiles) ReadDir() ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead {
		return nil, &fs.PathError{Op: "readdir", Err: syscall.EIO}
	}
	return slices.Sorted(maps.Keys(m.names)), nil
}

// SyncDir implements FS.
func (m *MemoryFiles) SyncDir() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.may("syncdir", "", 0); err != nil {
		return err
	}
	m.durable = maps.Clone(m.names)
	return nil
}

// may asks the hook, and writes the log.
func (m *MemoryFiles) may(op, name string, size int) (done int, err error) {
	if m.dead {
		return 0, &fs.PathError{Op: op, Path: name, Err: syscall.EIO}
	}
	if m.log != nil {
		line := strings.TrimSpace(op + " " + name)
		if op == "write" {
			line = fmt.Sprintf("%s %d", line, size)
		}
		m.log = append(m.log, line)
	}
	if m.hook == nil {
		return 0, nil
	}
	return m.hook(op, name, size)
}

func (f *memoryFile) ReadAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.fs.dead {
		return 0, &fs.PathError{Op: "read", Path: f.name, Err: syscall.EIO}
	}
	if off >= int64(len(f.node.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.node.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memoryFile) WriteAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	done, err := f.fs.may("write", f.name, len(p))
	if err != nil {
		if f.fs.dead {
			return 0, err
		}
		done = min(done, len(p))
		f.node.write(p[:done], off)
		return done, err
	}
	f.node.write(p, off)
	return len(p), nil
}

func (f *memoryFile) Truncate(size int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if _, err := f.fs.may("truncate", f.name, 0); err != nil {
		return err
	}
	f.node.resize(size)
	return nil
}

func (f *memoryFile) Sync() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if _, err := f.fs.may("sync", f.name, 0); err != nil {
		return err
	}
	f.node.synced, f.node.torn = int64(len(f.node.data)), nil
	return nil
}

func (f *memoryFile) Size() (int64, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return int64(len(f.node.data)), nil
}

func (f *memoryFile) Close() error { return nil }

// write changes the content, and keeps what a crash would bring back.
func (n *memoryNode) write(p []byte, off int64) {
	if len(p) == 0 {
		return
	}
	end := off + int64(len(p))
	if end > int64(len(n.data)) {
		n.data = append(n.data, make([]byte, end-int64(len(n.data)))...)
	}
	for at := off &^ (sector - 1); at < end && at < n.synced; at += sector {
		n.save(at)
	}
	copy(n.data[off:], p)
}

func (n *memoryNode) save(at int64) {
	if n.torn[at] != nil {
		return
	}
	if n.torn == nil {
		n.torn = map[int64]*[sector]byte{}
	}
	n.torn[at] = new([sector]byte)
	copy(n.torn[at][:], n.data[at:])
}

func (n *memoryNode) resize(size int64) {
	for at := size &^ (sector - 1); at < int64(len(n.data)) && at < n.synced; at += sector {
		n.save(at)
	}
	n.data = append(n.data[:min(size, int64(len(n.data)))], make([]byte, max(0, size-int64(len(n.data))))...)
}

// crash brings back what was durable, sector by sector.
func (n *memoryNode) crash(keep func() bool) {
	if size := int64(len(n.data)); size < n.synced || size > n.synced && !keep() {
		n.data = append(n.data[:min(size, n.synced)], make([]byte, max(0, n.synced-size))...)
	}
	for at := n.synced &^ (sector - 1); at < int64(len(n.data)); at += sector {
		if at >= n.synced && !keep() {
			clear(n.data[at:min(at+sector, int64(len(n.data)))])
		}
	}
	for _, at := range slices.Sorted(maps.Keys(n.torn)) {
		if !keep() && at < int64(len(n.data)) {
			copy(n.data[at:], n.torn[at][:])
		}
	}
	n.synced, n.torn = int64(len(n.data)), nil
}
