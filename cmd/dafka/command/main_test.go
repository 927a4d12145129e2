package command

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/godafka/dafka/cmd/dafka/settings"
)

func TestMain(m *testing.M) {
	// The user who runs the tests may have settings of his own.
	for _, s := range settings.All {
		os.Unsetenv(s.Variable())
	}
	os.Exit(m.Run())
}

// configFile writes a configuration file.
func configFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "dafka.cfg")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
