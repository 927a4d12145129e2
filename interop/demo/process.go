package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// processes are those that the demo has started and that may still run. Only they are ever signalled.
type processes struct {
	program string
	all     []*process
}

// process is one dafka command.
type process struct {
	command string
	cmd     *exec.Cmd
	stdout  output
	stderr  output
	ended   chan struct{}
	err     error // how it ended; read after ended
}

// endPatience is how long a process that was told to end may take before it is killed.
const endPatience = 3 * time.Second

// start starts dafka with a command and its arguments. When ctx ends, so does the process.
func (all *processes) start(ctx context.Context, command string, args ...string) (*process, error) {
	p := &process{command: command, ended: make(chan struct{})}
	p.stdout.grown, p.stderr.grown = make(chan struct{}, 1), make(chan struct{}, 1)
	p.cmd = exec.CommandContext(ctx, all.program, append([]string{command}, args...)...)
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	p.cmd.Cancel = p.tell
	p.cmd.WaitDelay = endPatience
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("dafka %s: %w (is it built? make build)", command, err)
	}
	all.all = append(all.all, p)
	go func() {
		defer close(p.ended)
		if err := p.cmd.Wait(); err != nil {
			p.err = fmt.Errorf("dafka %s: %w: %s", command, err, strings.TrimSpace(p.stderr.String()))
		}
	}()
	return p, nil
}

func (p *process) tell() error { return p.cmd.Process.Signal(syscall.SIGTERM) }

func (p *process) pid() int { return p.cmd.Process.Pid }

// wait returns when the process has ended; an error when it failed.
func (p *process) wait() error {
	<-p.ended
	return p.err
}

// waitFor waits for a line on stderr that holds mark, and returns what follows it.
func (p *process) waitFor(ctx context.Context, mark string) (string, error) {
	for {
		if _, after, ok := strings.Cut(p.stderr.String(), mark); ok {
			if line, _, ok := strings.Cut(after, "\n"); ok {
				return line, nil
			}
		}
		select {
		case <-p.stderr.grown:
		case <-p.ended:
			return "", errors.Join(p.err, fmt.Errorf("dafka %s ended before its time", p.command))
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// end ends whatever runs, and returns when it is gone. That a process was told to end is no error; that it failed
// after the demo had done its work is one.
func (all *processes) end() error {
	var wrong []error
	for _, p := range all.all {
		select {
		case <-p.ended:
			continue
		default:
		}
		p.tell()
		select {
		case <-p.ended:
			wrong = append(wrong, p.err)
		case <-time.After(endPatience):
			p.cmd.Process.Kill()
			<-p.ended
			wrong = append(wrong, fmt.Errorf("dafka %s did not end within %v and was killed", p.command, endPatience))
		}
	}
	return errors.Join(wrong...)
}

// output is what a process has written so far.
type output struct {
	mu    sync.Mutex
	bytes bytes.Buffer
	last  time.Time     // when something was written last
	grown chan struct{} // holds a token when something was written
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last = time.Now()
	select {
	case o.grown <- struct{}{}:
	default:
	}
	return o.bytes.Write(b)
}

// Bytes is for a process that has ended.
func (o *output) Bytes() []byte { return o.bytes.Bytes() }

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.bytes.String()
}
