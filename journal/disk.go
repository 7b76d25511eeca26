package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// environment is what tests replace.
type environment struct {
	write func(file *os.File, data []byte, at int64) (int, error)
	sync  func(file *os.File) error
	at    func(point string) // called between two steps
}

func realEnvironment() environment {
	return environment{
		write: func(file *os.File, data []byte, at int64) (int, error) { return file.WriteAt(data, at) },
		sync:  (*os.File).Sync,
		at:    func(string) {},
	}
}

// disk is the file of a journal. One goroutine uses it at a time.
type disk struct {
	path      string
	device    uint64 // of the folder, when the journal was opened
	env       environment
	file      *os.File
	mark      marker
	sequence  uint64 // of the last record
	size      int64
	suspect   bool  // the file may have other records than those that were reported: it is written anew before the next record
	compactAt int64 // the size at which it is written anew
	buf       []byte
}

// open opens the file, locks it, and returns what it has.
func (d *disk) open() ([]byte, error) {
	file, err := os.OpenFile(d.path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("journal: opening: %w", err)
	}

	d.file = file

	if err := lockContents(file); err != nil {
		return nil, err
	}

	data, err := io.ReadAll(file)
	if err != nil {
		return nil, fmt.Errorf("journal: reading: %w", err)
	}

	return data, nil
}

// resume continues the file that was read. What is behind its last whole record is removed.
func (d *disk) resume(found *contents) error {
	d.mark, d.sequence, d.size = found.mark, found.sequence, int64(found.end)

	if found.torn == 0 {
		return nil
	}

	if err := errors.Join(d.file.Truncate(d.size), d.env.sync(d.file)); err != nil {
		return fmt.Errorf("journal: removing a torn record: %w", err)
	}

	return nil
}

// write writes a batch, and syncs it if somebody waits for that. If it fails, nothing of the batch stays, or the error matches
// ErrUncertain.
func (d *disk) write(b *batch, most int64, live func() [][]byte) error {
	d.encode(b)

	if d.suspect || d.size+int64(len(d.buf)) > most || d.changed() {
		if err := d.rewrite(live()); err != nil {
			return err
		}

		if d.changed() {
			return fmt.Errorf("journal: another program changes %s all the time: give the journal a file of its own", d.path)
		}

		d.encode(b) // the marker is another one
	}

	d.env.at("before write")

	n, err := d.env.write(d.file, d.buf, d.size)

	d.env.at("written")

	if err == nil && b.durable {
		err = d.env.sync(d.file)
		d.suspect = err != nil // the kernel may have dropped what was written before, such as removals, and reports that once

		d.env.at("synced")
	}

	if err != nil {
		failure := d.failed("writing", err)

		if undone := d.undo(failure); n > 0 {
			return undone
		}

		return failure // nothing was written: that it cannot be undone, as on a read-only file system, does not matter
	}

	d.size += int64(len(d.buf))
	d.sequence += uint64(len(b.operations))

	return nil
}

// encode makes the records of a batch.
func (d *disk) encode(b *batch) {
	d.buf = d.buf[:0]
	for i, op := range b.operations {
		d.buf = appendRecord(d.buf, d.mark, d.sequence+1+uint64(i), op.kind, op.body)
	}
}

// changed reports that somebody else has removed, replaced, truncated or extended the file. A call that is written to such a file would not
// be found later.
func (d *disk) changed() bool {
	named, err := os.Stat(d.path) //nolint:gosec // the program chooses the path
	own, failed := d.file.Stat()

	return err != nil || failed != nil || !os.SameFile(named, own) || named.Size() != d.size
}

// undo removes what a failed write has left.
func (d *disk) undo(failure error) error {
	err := d.file.Truncate(d.size)
	if err == nil {
		err = d.env.sync(d.file)
	}

	if err != nil {
		d.suspect = true

		return fmt.Errorf("%w: %w; %w", ErrUncertain, failure, d.failed("undoing that", err))
	}

	return failure
}

// failed returns the error of a step. An *os.File has the name that it was made with, such as path.new, so failed replaces that name.
func (d *disk) failed(step string, err error) error {
	if at, ok := errors.AsType[*fs.PathError](err); ok {
		err = at.Err
	}

	return fmt.Errorf("journal: %s %s: %w: check the disk: it must have room, and the file and its folder must be writable", step, d.path, err)
}

// compact writes the file anew if it has much that is not needed. If that fails, the file stays as it is, and compact tries again later.
func (d *disk) compact(step int64, live func() [][]byte) {
	if d.compactAt == 0 { // the file may have been read with much that is not needed
		d.compactAt = 2*sizeOf(live()) + step
	}

	if d.size < d.compactAt {
		return
	}

	_ = d.rewrite(live()) // the file is as good as before, and write reports what is wrong with the disk
	d.compactAt = 2*d.size + step
}

// sizeOf is the size of a file with these calls alone.
func sizeOf(bodies [][]byte) int64 {
	size := headerSize
	for _, body := range bodies {
		size += frameSize + len(body)
	}

	return int64(size)
}

// rewrite replaces the file by a new one with these calls.
func (d *disk) rewrite(bodies [][]byte) error {
	if err := d.checkDevice(); err != nil {
		return err
	}

	mark := newMarker()
	data := newHeader(mark)

	for i, body := range bodies {
		data = appendRecord(data, mark, uint64(i)+1, kindCall, body)
	}

	file, err := d.writeNew(data)
	if err != nil {
		return d.failed("replacing", err)
	}

	if d.file != nil {
		_ = d.file.Close() // nobody can read it any more
	}

	d.file, d.mark, d.sequence, d.size, d.compactAt = file, mark, uint64(len(bodies)), int64(len(data)), 0
	d.env.at("replaced")

	// Until the folder is synced, the old file may come back.
	if err := d.syncFolder(); err != nil {
		d.suspect = true

		return d.failed("syncing the folder of", err)
	}

	d.suspect = false

	return nil
}

// checkDevice reports that the folder is on another file system now, because one was mounted or unmounted there. A file in such a folder
// would be hidden, with its calls, as soon as the first file system is back.
func (d *disk) checkDevice() error {
	switch device, err := deviceOf(filepath.Dir(d.path)); {
	case err != nil:
		return d.failed("finding the folder of", err)
	case device != d.device:
		return fmt.Errorf("journal: the folder of %s is on another file system than when the journal was opened: mount the first one again, "+
			"or close the journal and open it anew", d.path)
	default:
		return nil
	}
}

// writeNew writes a file beside the journal, syncs it, and gives it the name of the journal.
func (d *disk) writeNew(data []byte) (*os.File, error) {
	name := d.path + ".new"

	// A file that is there has its own mode, or is a link.
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) { //nolint:gosec // as below
		return nil, err
	}

	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the program chooses the path
	if err != nil {
		return nil, err
	}

	err = lockContents(file)
	if err == nil {
		_, err = d.env.write(file, data, 0)
	}

	if err == nil {
		d.env.at("new file written")

		err = d.env.sync(file)
	}

	if err == nil {
		d.env.at("new file synced")

		err = os.Rename(name, d.path) //nolint:gosec // as above
	}

	if err != nil {
		return nil, errors.Join(err, file.Close(), os.Remove(name)) //nolint:gosec // as above
	}

	return file, nil
}

func (d *disk) syncFolder() error {
	folder, err := os.Open(filepath.Dir(d.path)) //nolint:gosec // as above
	if err != nil {
		return err
	}

	return errors.Join(d.env.sync(folder), folder.Close())
}

func (d *disk) close() error {
	if d.file == nil {
		return nil
	}

	return d.file.Close()
}
