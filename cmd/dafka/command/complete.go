package command

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/godafka/dafka/cmd/dafka/settings"
	"github.com/godafka/dafka/cmd/dafka/terminal"
	"github.com/godafka/dafka/zmqwire"
)

// CompletionFlag stands behind a command line that a shell wants to have completed.
const CompletionFlag = "--generate-bash-completion"

// Complete prints what may come next, a word on each line: commands and flags, the values of flags that have some to
// choose from, and the topics of the cluster. Behind "--" only topics come, and urfave/cli would not complete but run. A
// "--" that is still being typed begins a flag; args are os.Args, where urfave/cli looks for it.
func Complete(app *cli.App, args []string) int {
	if word := &args[len(args)-2]; *word == "--" {
		*word = "-"
	}
	line := args[1 : len(args)-1]
	command, _, rest := commandOf(app, line)
	typing := len(rest) > 0 && len(rest[len(rest)-1]) > 0 && rest[len(rest)-1][0] == '-' && !slices.Contains(rest, "--")
	flag, topics := expected(command, rest)
	switch {
	case flag != nil:
		printWords(flagValues(flag))
		if takesTopic(flag) {
			printWords(topicsNow(command, rest))
		}
		return 0
	case topics && !typing:
		printWords(topicsNow(command, rest))
		return 0
	case slices.Contains(args, "--"):
		return 0
	}
	app.EnableBashCompletion = true
	return terminal.Report(app.Name, app.Run(args))
}

func printWords(words []string) {
	for _, word := range words {
		fmt.Println(word)
	}
}

// expected says what the word after the rest of a command line is: the value of a flag, or perhaps a topic.
func expected(command *cli.Command, rest []string) (value cli.Flag, topic bool) {
	arguments, ended := 0, false
	for i := 0; i < len(rest); i++ {
		word := rest[i]
		switch {
		case ended || len(word) < 2 || word[0] != '-':
			arguments++
		case word == "--":
			ended = true
		default:
			name, _, assigned := strings.Cut(strings.TrimPrefix(word[1:], "-"), "=")
			flag := settings.FlagNamed(command.Flags, name)
			if flag == nil || assigned || !takesValue(flag) {
				continue
			}
			if i+1 < len(rest) && rest[i+1] == "=" {
				i++ // bash takes --flag=value apart
			}
			if i++; i == len(rest) {
				if strings.HasPrefix(word, "--") && len(name) == 1 {
					return nil, false // a longer one is being typed
				}
				return flag, false
			}
		}
	}
	wanted := strings.TrimPrefix(command.ArgsUsage, "[")
	return nil, strings.HasPrefix(wanted, "TOPIC") && (arguments == 0 || strings.Contains(wanted, "..."))
}

// flagValues are the values that a flag has to choose from.
func flagValues(f cli.Flag) []string {
	switch f.Names()[0] {
	case "format":
		// It names them.
		_, formats, _ := strings.Cut(f.(cli.DocGenerationFlag).GetUsage(), ": ")
		return strings.Split(strings.ReplaceAll(formats, " or ", ", "), ", ")
	case "log-format":
		return []string{"text", "json"}
	case "log-level":
		return []string{"debug", "info", "warn", "error"}
	case "limit":
		names := settings.LimitNames()
		for i := range names {
			names[i] += "="
		}
		return names
	case "kind":
		var names []string
		for _, kind := range zmqwire.Kinds() {
			names = append(names, strings.ToLower(kind.String()))
		}
		return names
	case "o":
		return []string{"start", "end"}
	}
	return nil
}

func takesTopic(f cli.Flag) bool {
	return slices.ContainsFunc([]string{"topic", "exclude"}, func(name string) bool { return slices.Contains(f.Names(), name) })
}

// completionPatience is how long a shell waits for topics: a survey of a small cluster takes less.
const completionPatience = 3 * time.Second

// topicsNow are the topics of the cluster that the command line says, as far as they are known soon and need no quotes.
func topicsNow(command *cli.Command, rest []string) (names []string) {
	ctx, cancel := context.WithTimeout(context.Background(), completionPatience)
	defer cancel()
	self, err := os.Executable()
	if err != nil {
		return nil
	}
	args := []string{"topics", "--format", "json"}
	for i := 0; i < len(rest) && rest[i] != "--"; i++ {
		name, value, assigned := strings.Cut(strings.TrimLeft(rest[i], "-"), "=")
		flag := settings.FlagNamed(command.Flags, name)
		if len(rest[i]) < 2 || rest[i][0] != '-' || flag == nil || !takesValue(flag) {
			continue
		}
		if !assigned {
			if i++; i < len(rest) {
				value = rest[i]
			}
		}
		if slices.Contains([]string{"tower", "pub", "sub", "c", "address", "bind"}, name) {
			args = append(args, "--"+name+"="+value)
		}
	}
	topics := exec.CommandContext(ctx, self, args...)
	topics.Args[0] = terminal.Program
	out, err := topics.Output()
	var rows []struct {
		Topic       string `json:"topic"`
		TopicBase64 bool   `json:"topic_base64"`
	}
	if err != nil || json.Unmarshal(out, &rows) != nil {
		return nil
	}
	for _, r := range rows {
		if !r.TopicBase64 && !strings.ContainsFunc(r.Topic, func(c rune) bool { return c <= ' ' || strings.ContainsRune("\"'\\$`*?[]<>|&;()#~!", c) }) {
			names = append(names, r.Topic)
		}
	}
	return names
}
