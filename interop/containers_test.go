package interop

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// Clusters of containers, in a network of their own, with the image that `make image` builds. DAFKA_C_IMAGE names an
// image with the C programs on its PATH; without it Go plays all roles.

const goImage = "dafka"

// fleet is the containers of one cluster and their network.
type fleet struct {
	t     *trial
	plays roles
	name  string   // of the network, and how the containers' names begin
	meet  []string // the flags with which its nodes find a tower
	count int
}

// docker runs a docker command, which must succeed.
func (f *fleet) docker(args ...string) string {
	f.t.Helper()
	out, err := exec.Command("docker", args...).CombinedOutput()
	if err != nil {
		f.t.Fatalf("docker %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// newFleet makes the network. The end of the test removes it, and the containers before it.
func newFleet(t *trial, plays roles) *fleet {
	t.Helper()
	f := &fleet{t: t, plays: plays, name: fmt.Sprintf("dafka-interop-%08x", rand.Uint32())}
	f.meet = []string{"--pub", "tcp://tower:5557", "--sub", "tcp://tower:5556"}
	f.docker("network", "create", f.name)
	t.Cleanup(func() { f.docker("network", "rm", f.name) })
	return f
}

// box is a container, with the docker command that shows its output at hand.
type box struct {
	*process
	name string
}

// start starts a role in a container. Options are those of docker run.
func (f *fleet) start(who player, stdin io.Reader, options []string, args ...string) *box {
	f.t.Helper()
	f.count++
	b := &box{name: fmt.Sprintf("%s-%d-%s", f.name, f.count, args[0])}
	command := []string{"run", "--interactive", "--init", "--name", b.name, "--network", f.name}
	command = append(command, options...)
	if args[0] != "tower" {
		args = append(args, f.meet...)
	}
	if who == goPlayer {
		command = append(append(command, goImage), args...)
	} else {
		// As with processes: output must not wait in a buffer, nor input for a reader; and a store's folder is beneath
		// the working directory.
		command = append(command, "--env", "ZSYS_PIPEHWM=1000000", "--workdir", "/tmp", "--entrypoint", "stdbuf")
		command = append(append(command, os.Getenv("DAFKA_C_IMAGE"), "-oL", cPrograms[args[0]]), args[1:]...)
	}
	// Before the process is there, so that it is removed after docker run has ended.
	f.t.Cleanup(func() { f.docker("rm", "--force", "--volumes", b.name) })
	b.process = run(f.t, stdin, exec.Command("docker", command...))
	return b
}

// running waits until the container runs, and is healthy where its image knows what that is.
func (f *fleet) running(b *box) {
	f.t.Helper()
	const state = "{{.State.Running}} {{if .State.Health}}{{.State.Health.Status}}{{else}}healthy{{end}}"
	eventually(f.t, b.name+" is running and healthy", func() bool {
		out, err := exec.Command("docker", "inspect", "--format", state, b.name).Output()
		return err == nil && strings.TrimSpace(string(out)) == "true healthy"
	})
}

// consumer starts a consumer that begins with the oldest records and prints in C's format.
func (f *fleet) consumer(who player) *box {
	f.t.Helper()
	if who == goPlayer {
		return f.start(goPlayer, nil, nil, "consume", "hello", "--from-beginning", "--format", "c")
	}
	return f.start(cPlayer, nil, nil, "consume", "hello", "--from-beginning")
}

// needContainers skips a test where there is no engine or no image, which is a failure where C is asked for.
func needContainers(t *testing.T) (cImage string) {
	t.Helper()
	if raced {
		t.Skip("the program in the image does not look for races")
	}
	cImage = os.Getenv("DAFKA_C_IMAGE")
	lacking := ""
	if out, err := exec.Command("docker", "info").CombinedOutput(); err != nil {
		lacking = fmt.Sprintf("no Docker engine answers (%v: %.200s)", err, out)
	} else if exec.Command("docker", "image", "inspect", goImage).Run() != nil {
		lacking = "there is no image " + goImage + ": make image builds it"
	} else if cImage != "" && exec.Command("docker", "image", "inspect", cImage).Run() != nil {
		lacking = fmt.Sprintf("DAFKA_C_IMAGE: the engine has no image %q: build or pull it, or set it to nothing", cImage)
	}
	if lacking != "" && cImage != "" {
		t.Fatal(lacking)
	}
	if lacking != "" {
		skipped := "CONTAINERS NOT TESTED: " + lacking
		scores.note(skipped)
		t.Skip(skipped)
	}
	return cImage
}

func TestContainers(t *testing.T) {
	t.Parallel()
	cImage := needContainers(t)
	assignments := everyRoles()
	if cImage == "" {
		assignments = assignments[:1]
		t.Log("DAFKA_C_IMAGE is not set: Go plays all roles")
	}
	for _, r := range assignments {
		t.Run(r.String(), func(t *testing.T) {
			t.Parallel()
			scores.keep(t, "in containers", r, func(t *trial) (string, func() map[string]int) {
				containers(newFleet(t, r))
				return "", func() map[string]int { return nil }
			})
		})
	}
}

// TestContainerHealth: a container is healthy when its own node listens and, where that serves HTTP, is ready. By
// DAFKA_TOWER every command in it finds the tower.
func TestContainerHealth(t *testing.T) {
	t.Parallel()
	needContainers(t)
	name := fmt.Sprintf("dafka-health-%08x", rand.Uint32())
	docker := func(args ...string) (string, error) {
		out, err := exec.Command("docker", args...).CombinedOutput()
		return strings.TrimSpace(string(out)), err
	}
	must := func(args ...string) string {
		t.Helper()
		out, err := docker(args...)
		if err != nil {
			t.Fatalf("docker %s: %v: %s", strings.Join(args, " "), err, out)
		}
		return out
	}
	must("network", "create", name)
	t.Cleanup(func() { docker("network", "rm", name) })
	start := func(role string, args ...string) (container string) {
		t.Helper()
		container = name + "-" + role
		t.Cleanup(func() { docker("rm", "--force", "--volumes", container) })
		must(append([]string{"run", "--detach", "--name", container, "--network", name, "--env", "DAFKA_TOWER=tower"}, args...)...)
		return container
	}
	says := func(container, want string) {
		t.Helper()
		eventually(t, fmt.Sprintf("the health of %s: %q", container, want), func() bool {
			out, err := docker("exec", container, "dafka-health")
			return out == want && (err == nil) == (want == "")
		})
	}
	store := start("store", goImage, "store", "--db", "/data", "--http", "9090")
	says(store, "the store hears no tower\nthe store is finding out what it lacks")
	tower := start("tower", "--network-alias", "tower", goImage, "tower")
	says(tower, "")
	says(store, "")
	if out := must("exec", store, "dafka", "topics"); !strings.HasPrefix(out, "no topic") && !strings.Contains(out, "TOPIC") {
		t.Errorf("dafka topics in a container: %q", out)
	}
	listener := "use IO::Socket::INET; my $s = IO::Socket::INET->new(Listen => 5, LocalPort => 9090) or die; sleep 600"
	says(start("another", "--entrypoint", "perl", goImage, "-e", listener), "no dafka runs here")
}

// containers is one cluster that goes through all that befalls containers: live, paused, cut off, killed and back, and a
// consumer that comes when the producer has gone.
func containers(f *fleet) {
	t := f.t
	f.running(f.start(f.plays.tower, nil, []string{"--network-alias", "tower"}, "tower"))
	// The store advertises a name that the network knows; the others are reached where the tower sees them.
	var store *box
	if f.plays.store == goPlayer {
		alias := []string{"--network-alias", "store"}
		store = f.start(goPlayer, nil, alias, "store", "--db", "/data", "--address", "store", "--bind", "5558")
	} else {
		store = f.start(cPlayer, nil, nil, "store")
	}
	f.running(store)
	witness, subject := f.consumer(goPlayer), f.consumer(f.plays.consumer)
	f.running(witness)
	f.running(subject)

	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	producer := f.start(f.plays.producer, in, nil, "produce", "hello")
	f.running(producer)
	time.Sleep(cSettle) // see there
	want := lines("a", 5000)
	published := 0
	publish := func() {
		t.Helper()
		if _, err := io.WriteString(out, strings.Join(want[published:published+1000], "\n")+"\n"); err != nil {
			t.Fatal(err)
		}
		published += 1000
	}
	has := func(b *box) {
		t.Helper()
		b.waitForLines(published)
		equal(t, b.name, partitions{"hello/a": want[:published]}, b.printed())
	}

	publish()
	has(witness)
	has(subject)

	f.docker("pause", subject.name)
	publish()
	has(witness)
	f.docker("unpause", subject.name)
	has(subject)

	// What C producers answer those that missed something is wrong; see the matrix.
	cut := f.plays.producer == goPlayer
	if cut {
		f.docker("network", "disconnect", f.name, subject.name)
	}
	publish()
	has(witness)
	if cut {
		f.docker("network", "connect", f.name, subject.name)
	}
	has(subject)

	if f.plays.producer == goPlayer {
		f.docker("kill", store.name)
		publish()
		has(witness)
		has(subject)
		f.docker("start", store.name)
		f.running(store)
	}
	for published < len(want) {
		publish()
	}
	has(witness)
	has(subject)
	out.Close()
	if f.plays.producer == goPlayer {
		producer.mustEnd(0)
	}

	has(f.consumer(f.plays.consumer))
	// Go nodes end by themselves when they are told to.
	for _, b := range slices.Concat([]*box{witness}, map[player][]*box{goPlayer: {subject}}[f.plays.consumer]) {
		begin := time.Now()
		f.docker("stop", b.name)
		if took := time.Since(begin); took > 8*time.Second {
			t.Errorf("%s was stopped after %v: its signal did not end it", b.name, took)
		}
	}
}
