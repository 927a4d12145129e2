package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"
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
		Name: "man", Usage: "write the man pages into a folder", ArgsUsage: "DIR", Hidden: true,
		Action: func(c *cli.Context) error {
			if err := wantArgs(c, 1, "DIR"); err != nil {
				return err
			}
			for _, page := range manPages() {
				text, err := page.roff()
				if err != nil {
					return err
				}
				if err := os.WriteFile(filepath.Join(c.Args().First(), page.name+".1"), []byte(text), 0o644); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func manPages() []manPage {
	app := newApp()
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
	for _, c := range cPrograms() {
		top.seeAlso = append(top.seeAlso, c.Name)
		pages = append(pages, manPage{
			name: c.Name, usage: c.Usage, synopsis: c.UsageText, description: c.Description, flags: c.Flags,
			seeAlso: []string{app.Name, "dafka-config-show"},
		})
	}
	return append(pages, top)
}

// roff is the page as man reads it.
func (p manPage) roff() (string, error) {
	cli.MarkdownDocTemplate = "% {{.App.Name}} {{.SectionNum}}\n\n{{.App.Description}}"
	return (&cli.App{Name: p.name, Description: p.markdown()}).ToManWithSection(1)
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
	if examples.Len() > 0 {
		b.WriteString("\n# EXAMPLES\n" + examples.String())
	}
	if len(p.seeAlso) > 0 {
		names := make([]string, len(p.seeAlso))
		for i, name := range p.seeAlso {
			names[i] = "**" + plain(name) + "**(1)"
		}
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
