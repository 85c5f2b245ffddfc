package peers

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
)

// logPeer is the least that durability can cost: all objects in memory and a file to which
// each group is written with one write and one fdatasync. The file is never compacted and
// its frames carry no checksum, so it is a floor to compare with and not a store to use.
type logPeer struct {
	*committer
	file *os.File
	at   int64  // where the next group goes
	size int64  // of what has been written ahead; 0: the file grows with each group
	buf  []byte // the group as it will be written

	mu      sync.Mutex // guards objects against Sum
	objects []object
}

// frameSize is the size of a frame: one more than the object's number, so that zeros are no
// frame, and the object's new bytes.
const frameSize = 8 + ObjectSize

// aheadSize is how many zeros are written at a time. Within them a group changes neither the
// file's size nor its blocks, so a sync has no metadata to write.
const aheadSize = 64 << 20

// openLog opens a log that grows with each group.
func openLog(dir string, objects int) (Peer, error) { return newLog(dir, objects, false) }

// openAhead opens a log that is written over zeros.
func openAhead(dir string, objects int) (Peer, error) { return newLog(dir, objects, true) }

func newLog(dir string, objects int, ahead bool) (Peer, error) {
	file, err := os.OpenFile(filepath.Join(dir, "log"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	p := &logPeer{file: file, objects: make([]object, objects)}
	for key := range p.objects {
		p.objects[key] = fresh(key)
	}
	if err := p.replay(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if ahead {
		if err := p.extend(); err != nil {
			return nil, errors.Join(err, file.Close())
		}
	}
	p.committer = newCommitter(p.commit)
	return p, nil
}

// replay reads the log to its end. A torn frame is overwritten by the next group.
func (p *logPeer) replay() error {
	bytes, err := io.ReadAll(p.file)
	for ; len(bytes) >= frameSize; bytes = bytes[frameSize:] {
		key := binary.LittleEndian.Uint64(bytes)
		if key == 0 {
			break
		}
		copy(p.objects[key-1][:], bytes[8:])
		p.at += frameSize
	}
	return err
}

// extend writes zeros behind the last group.
func (p *logPeer) extend() error {
	if _, err := p.file.WriteAt(make([]byte, aheadSize), p.at); err != nil {
		return err
	}
	p.size = p.at + aheadSize
	return fdatasync(p.file)
}

func (p *logPeer) commit(changes []change) error {
	p.apply(changes)
	if p.size > 0 && p.at+int64(len(p.buf)) > p.size {
		if err := p.extend(); err != nil {
			return err
		}
	}
	if _, err := p.file.WriteAt(p.buf, p.at); err != nil {
		return err
	}
	p.at += int64(len(p.buf))
	return fdatasync(p.file)
}

// apply changes the objects in memory and fills buf with their frames.
func (p *logPeer) apply(changes []change) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.buf = p.buf[:0]
	for i := range changes {
		for _, s := range changes[i].steps[:changes[i].n] {
			o := &p.objects[s.key]
			*o = plus(o[:], s.by)
			p.buf = binary.LittleEndian.AppendUint64(p.buf, uint64(s.key)+1)
			p.buf = append(p.buf, o[:]...)
		}
	}
}

// Sum implements Peer.
func (p *logPeer) Sum() (sum int64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.objects {
		sum += number(p.objects[i][:])
	}
	return sum, nil
}

// Close implements Peer.
func (p *logPeer) Close() error {
	p.stop()
	return p.file.Close()
}
