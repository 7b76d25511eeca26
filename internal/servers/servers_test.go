//go:build unix

package servers

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAFolderOfTheCacheIsFilledOnce(t *testing.T) {
	t.Parallel()

	var (
		base    = t.TempDir()
		filled  atomic.Int32
		waiting sync.WaitGroup
	)

	for range 8 {
		waiting.Go(func() {
			folder, err := cachedIn(base, "server", func(dir string) error {
				filled.Add(1)

				return os.WriteFile(filepath.Join(dir, "program"), nil, 0o600)
			})
			if err != nil || !exists(filepath.Join(folder, "program")) {
				t.Errorf("%s, %v", folder, err)
			}
		})
	}

	waiting.Wait()

	if n := filled.Load(); n != 1 {
		t.Errorf("the folder is filled %d times", n)
	}
}

func TestAFailedDownloadLeavesNothingBehind(t *testing.T) {
	t.Parallel()

	base, failed := t.TempDir(), errors.New("no network")

	for range 2 {
		if _, err := cachedIn(base, "server", func(string) error { return failed }); !errors.Is(err, failed) {
			t.Errorf("got %v", err)
		}
	}

	left, err := filepath.Glob(filepath.Join(base, "*"))
	if err != nil || len(left) != 1 || filepath.Ext(left[0]) != ".lock" {
		t.Errorf("%q is left, %v", left, err)
	}
}

// A process that was killed could not remove anything.
func TestAnInterruptedDownloadIsRemovedByTheNextOne(t *testing.T) {
	t.Parallel()

	base := t.TempDir()
	half := filepath.Join(base, "server.partial", "usr")

	if err := os.MkdirAll(half, 0o700); err != nil {
		t.Fatal(err)
	}

	folder, err := cachedIn(base, "server", func(dir string) error {
		if exists(filepath.Join(dir, "usr")) {
			t.Error("the new folder has files of the old one")
		}

		return os.WriteFile(filepath.Join(dir, "program"), nil, 0o600)
	})
	if err != nil || !exists(filepath.Join(folder, "program")) {
		t.Errorf("%s, %v", folder, err)
	}

	left, err := filepath.Glob(filepath.Join(base, "*"))
	if want := []string{folder, folder + ".lock"}; err != nil || !slices.Equal(left, want) {
		t.Errorf("%q is left, want %q, %v", left, want, err)
	}
}

func TestTheMirrorIsThatOfTheRelease(t *testing.T) {
	t.Parallel()

	targets := "http://security.test/debian-security/ bookworm-security\nhttp://mirror.test/debian/ bookworm\n"
	if mirror, err := mirrorIn(targets, "bookworm"); err != nil || mirror != "http://mirror.test/debian/" {
		t.Errorf("got %q, %v", mirror, err)
	}

	if mirror, err := mirrorIn(targets, "trixie"); err == nil {
		t.Errorf("got %q", mirror)
	}
}

func TestOnlyDebianIsDebian(t *testing.T) {
	t.Parallel()

	if name, err := codenameIn("ID=debian\nVERSION_CODENAME=bookworm\n"); err != nil || name != "bookworm" {
		t.Errorf("got %q, %v", name, err)
	}

	for _, release := range []string{"ID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=\"noble\"\n", "ID=debian\n", ""} {
		if name, err := codenameIn(release); err == nil {
			t.Errorf("got %q of %q", name, release)
		}
	}
}

func TestAProgramRunsWithTheLoaderThatCameWithIt(t *testing.T) {
	t.Parallel()

	root := t.TempDir()
	if _, err := in(root, "usr/bin/server"); err == nil {
		t.Error("a program that is not there is found")
	}

	for _, file := range []string{"usr/bin/server", "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, file)), 0o700); err != nil {
			t.Fatal(err)
		}

		if err := os.WriteFile(filepath.Join(root, file), nil, 0o700); err != nil {
			t.Fatal(err)
		}
	}

	program, err := in(root, "usr/bin/server")
	if err != nil {
		t.Fatal(err)
	}

	lib, path := root+"/usr/lib/x86_64-linux-gnu", root+"/usr/bin/server"
	want := []string{
		lib + "/ld-linux-x86-64.so.2", "--argv0", path, "--library-path", lib + ":" + root + "/lib/x86_64-linux-gnu",
		path, "--port", "1",
	}

	if got := program.Command("--port", "1").Args; !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}

	if got := Installed("/bin/server").Command("--port", "1").Args; !slices.Equal(got, []string{"/bin/server", "--port", "1"}) {
		t.Errorf("an installed program: %q", got)
	}
}

func TestAnUnknownReleaseIsAnError(t *testing.T) {
	t.Parallel()

	if program, err := Find("valkey-1"); err == nil {
		t.Errorf("found %s", program.Path())
	}
}

// Servers of other systems are not listed.
func TestAServerThatIsNotListedIsAnErrorOnDebian12(t *testing.T) {
	t.Parallel()

	name, err := codename()
	listed := err != nil || name != "bookworm"

	if err := Listed("MariaDB", "5.5.68"); (err == nil) != listed {
		t.Errorf("got %v on %q", err, name)
	}

	if err := Listed("MariaDB", "10.11.14-MariaDB"); err != nil {
		t.Error(err)
	}
}

func TestTheVersionsOfAServerAreThoseOfItsChosenReleases(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		server, chosen string
		want           []string
	}{
		{"PostgreSQL", "", []string{"15."}},
		{"PostgreSQL", MySQL9, []string{"15."}},
		{"PostgreSQL", PostgreSQL18, []string{"18."}},
		{"Valkey", "", nil},
		{"Valkey", Valkey9, []string{"9.1"}},
		{"MySQL", "", nil},
	} {
		if got := versions(tt.server, func(release string) bool { return release == tt.chosen }); !slices.Equal(got, tt.want) {
			t.Errorf("%s, chosen is %q: %q, want %q", tt.server, tt.chosen, got, tt.want)
		}
	}
}
