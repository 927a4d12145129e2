package command

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/godafka/dafka/cmd/dafka/cnames"
	"github.com/godafka/dafka/cmd/dafka/settings"
	"github.com/godafka/dafka/cmd/dafka/terminal"
)

// Man pages are made of what --help shows: a page for each command, and for each C program. urfave/cli knows how to
// make one of Markdown, which is what stands here; the page that it would write itself has no room for examples.

// manPage is a command as its page shows it.
type manPage struct {
	name, usage, synopsis, description string
	flags                              []cli.Flag
	commands                           []*cli.Command
	seeAlso                            []string
}

// manCommand is for `make install`.
func manCommand() *cli.Command {
	return &cli.Command{
		Name: "man", Usage: "write the man pages of commands and those of files into folders", ArgsUsage: "DIR1 [DIR5]", Hidden: true,
		Action: func(c *cli.Context) error {
			if err := settings.WantArgs(c, 1, "DIR1", "DIR5"); err != nil {
				return err
			}
			for _, page := range manPages() {
				if err := writePage(c.Args().First(), page.name, 1, page.markdown()); err != nil {
					return err
				}
			}
			if c.NArg() < 2 {
				return nil
			}
			return writePage(c.Args().Get(1), "dafka.cfg", 5, configPage())
		},
	}
}

func manPages() []manPage {
	app := New()
	top := manPage{
		name: app.Name, usage: app.Usage, synopsis: app.UsageText, description: app.Description, commands: app.Commands,
		flags: []cli.Flag{cli.VersionFlag},
	}
	var pages []manPage
	var add func(parent string, commands []*cli.Command)
	add = func(parent string, commands []*cli.Command) {
		for _, c := range commands {
			if c.Hidden {
				continue
			}
			pages = append(pages, manPage{
				name: parent + "-" + c.Name, usage: c.Usage, synopsis: c.UsageText, description: c.Description,
				flags: c.Flags, commands: c.Subcommands, seeAlso: []string{parent},
			})
			add(parent+"-"+c.Name, c.Subcommands)
		}
	}
	add(app.Name, app.Commands)
	for _, c := range cnames.Programs() {
		top.seeAlso = append(top.seeAlso, c.Name)
		pages = append(pages, manPage{
			name: c.Name, usage: c.Usage, synopsis: c.UsageText, description: c.Description, flags: c.Flags,
			seeAlso: []string{app.Name, "dafka-config-show"},
		})
	}
	return append(pages, top)
}

// writePage writes a page as man reads it.
func writePage(dir, name string, section int, markdown string) error {
	cli.MarkdownDocTemplate = "% {{.App.Name}} {{.SectionNum}}\n\n{{.App.Description}}"
	text, err := (&cli.App{Name: name, Description: markdown}).ToManWithSection(section)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s.%d", name, section)), []byte(text), 0o644)
}

// configPage is dafka.cfg(5): the configuration file and its settings.
func configPage() string {
	var b strings.Builder
	b.WriteString("# NAME\n\ndafka.cfg - configuration of dafka and of the C programs' names\n\n# DESCRIPTION\n\n" +
		plain("The file that -c names is in ZPL, the format of C Dafka: a tree of names, four spaces for each level, "+
			"name = value, # before a comment. A name may be a path: beacon/interval = 500; C ignores such a line. "+
			"1 is yes and 0 is no. Of a name that is there twice the first counts. Names that do not exist are warned of, "+
			"or refused with --strict-config; sections of other programs are left alone.") + "\n\n" +
		plain("A flag comes before a variable of the environment, which comes before the file, which comes before the default. "+
			"dafka config show prints what holds, and where it was said.") + "\n\n# SETTINGS\n")
	for _, s := range settings.All {
		byDefault := "Default: " + s.ByDefault + "."
		if s.ByDefault == "" {
			byDefault = "Default: empty."
		}
		define(&b, "**"+plain(s.Key)+"**, "+plain(s.Variable()), plain(s.Means+" "+byDefault))
	}
	b.WriteString("\n# EXAMPLES\n\n    beacon\n        tower = tower.example.org\n    store\n        db = /var/lib/dafka/storedb\n" +
		"\n# SEE ALSO\n\n**dafka**(1), **dafka-config-show**(1)\n")
	return b.String()
}

// environment is what dafka(1) says of where settings come from, and of how a command ends.
func environment() string {
	var b strings.Builder
	b.WriteString("\n# EXIT STATUS\n")
	for _, e := range terminal.ExitStatuses {
		define(&b, "**"+plain(e.Status)+"**", plain(e.Means)+".")
	}
	b.WriteString("\n# ENVIRONMENT\n\n" + plain("A setting that no flag gives is taken from its variable. Each has one: "+
		"DAFKA_BEACON_INTERVAL is that of beacon/interval, and so on; dafka.cfg(5) has them all.") + "\n")
	define(&b, "**"+plain("DAFKA_TOWER")+"**", plain("HOST[:PORT] of the tower, as --tower."))
	b.WriteString("\n# FILES\n")
	define(&b, "**dafka.cfg**", plain("A configuration file is read when -c names it, and only then: see dafka.cfg(5). "+
		"An example is installed in the folder of the system's configuration."))
	return b.String()
}

func (p manPage) markdown() string {
	var b, examples strings.Builder
	fmt.Fprintf(&b, "# NAME\n\n%s - %s\n\n# SYNOPSIS\n\n**%s**\n", p.name, plain(p.usage), plain(p.synopsis))
	section := "\n# DESCRIPTION\n"
	for paragraph := range strings.SplitSeq(p.description, "\n\n") {
		if example, ok := strings.CutPrefix(paragraph, "Example: "); ok {
			examples.WriteString("\n    " + example + "\n")
			continue
		}
		if paragraph == "" {
			continue
		}
		b.WriteString(section)
		section = ""
		literal := true // a table, or a command, in a paragraph of its own
		for line := range strings.SplitSeq(paragraph, "\n") {
			was := literal
			if literal = strings.HasPrefix(line, "  "); literal {
				line = "  " + line
			} else {
				line = plain(line)
			}
			if literal != was {
				b.WriteString("\n")
			}
			b.WriteString(line + "\n")
		}
	}
	if len(p.commands) > 0 {
		b.WriteString("\n# COMMANDS\n")
		for _, c := range p.commands {
			if !c.Hidden {
				define(&b, "**"+plain(p.name+"-"+c.Name)+"**(1)", plain(c.Usage))
			}
		}
	}
	b.WriteString("\n# OPTIONS\n")
	for _, f := range append(p.flags, cli.HelpFlag) {
		name, usage, _ := strings.Cut(f.String(), "\t")
		define(&b, "**"+plain(name)+"**", plain(usage))
	}
	if p.name == terminal.Program {
		b.WriteString(environment())
	}
	if examples.Len() > 0 {
		b.WriteString("\n# EXAMPLES\n" + examples.String())
	}
	if len(p.seeAlso) > 0 {
		names := make([]string, len(p.seeAlso))
		for i, name := range p.seeAlso {
			names[i] = "**" + plain(name) + "**(1)"
		}
		names = append(names, "**dafka.cfg**(5)")
		b.WriteString("\n# SEE ALSO\n\n" + strings.Join(names, ", ") + "\n")
	}
	return b.String()
}

func define(b *strings.Builder, term, meaning string) {
	fmt.Fprintf(b, "\n%s\n:   %s\n", term, meaning)
}

// plain makes of text the Markdown that reads so.
func plain(text string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "_", `\_`, "`", "\\`", "[", `\[`, "]", `\]`, "<", `\<`, ">", `\>`, "#", `\#`).Replace(text)
}
