package journal

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Two names of one file must have one lock, and the file must stay where the link leads when it is written anew.
func TestASymbolicLinkIsTheFileThatItLeadsTo(t *testing.T) {
	path := journalPath(t)
	link := filepath.Join(t.TempDir(), "link")

	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}

	if _, err := Open(link); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a link to nothing: %v, want ErrNotExist", err)
	}

	j := open(t, path)

	if _, err := Open(link); !errors.Is(err, ErrLocked) {
		t.Errorf("a link to a journal that is open: %v, want ErrLocked", err)
	}

	j.Close()

	j = open(t, link, withCompaction(1))
	for range 100 {
		end(t, begin(t, j, 1), nil) // the file is written anew meanwhile
	}

	begin(t, j, 2)
	j.Close()

	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is a link no more: %v, %v", info, err)
	}

	if got := keys(open(t, path)); !slices.Equal(got, []string{"order-2"}) {
		t.Errorf("left are %v", got)
	}
}

// Each name has a lock of its own.
func TestAHardLinkToAJournalThatIsOpenIsLocked(t *testing.T) {
	path := journalPath(t)
	link := filepath.Join(t.TempDir(), "link")

	open(t, path).Close()

	if err := os.Link(path, link); err != nil {
		t.Fatal(err)
	}

	j := open(t, link)

	if _, err := Open(path); !errors.Is(err, ErrLocked) {
		t.Errorf("the other name of a journal that is open: %v, want ErrLocked", err)
	}

	j.Close()

	j = open(t, path, withCompaction(1))
	for range 100 {
		end(t, begin(t, j, 1), nil) // the file is written anew meanwhile, and has one name now
	}

	begin(t, j, 2)

	if err := os.Remove(path + ".lock"); err != nil {
		t.Fatal(err)
	}

	if _, err := Open(path); !errors.Is(err, ErrLocked) {
		t.Errorf("a journal that is open, without its lock: %v, want ErrLocked", err)
	}

	if got := keys(open(t, link)); len(got) > 0 {
		t.Errorf("the other file has %v", got)
	}
}

func TestAPathThatIsNoFileIsRefusedAndNothingIsMade(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "folder")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}

	for _, path := range []string{"", folder, folder + "/"} {
		if _, err := Open(path); err == nil {
			t.Errorf("Open(%q) succeeds", path)
		}
	}

	t.Chdir(folder)

	if _, err := Open(""); err == nil {
		t.Error("the empty path is taken")
	}

	if made, err := filepath.Glob(filepath.Dir(folder) + "/*"); err != nil || len(made) != 1 {
		t.Errorf("there are %v: %v", made, err)
	}
}
