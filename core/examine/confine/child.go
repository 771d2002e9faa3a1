package confine

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"slices"

	"golang.org/x/sys/unix"
)

// A child is this binary under another name, in one of two stages: it confines itself
// and executes the parser; where the parser is a Job, that is this binary once more.
const (
	childName  = "vaguemestre-confined"
	stageEnter = "enter"
	stageJob   = "job"
	reportFD   = 3 // the first of exec.Cmd's ExtraFiles
)

// Exit statuses of a child that never became a parser, beside what it reports.
const (
	exitJobFailed  = 1
	exitUnconfined = 125
)

// plan tells a child what to become.
type plan struct {
	Program   string   `json:"program,omitempty"`
	Job       string   `json:"job,omitempty"`
	Args      []string `json:"args,omitempty"`
	Env       []string `json:"env,omitempty"`
	Read      []string `json:"read,omitempty"`
	CPU       int64    `json:"cpu"`        // seconds
	Memory    int64    `json:"memory"`     // bytes
	NoNet     bool     `json:"no_net"`     // it stands in an empty network namespace
	OtherUser bool     `json:"other_user"` // it runs as somebody else than its parent
}

// report is the line a child writes before it executes the parser.
type report struct {
	Entered bool     `json:"entered,omitempty"`
	Refused string   `json:"refused,omitempty"` // why it would not go in
	Lacks   []string `json:"lacks,omitempty"`   // features the kernel did not offer
	NoNet   bool     `json:"no_net,omitempty"`  // it has namespaces of its own
}

// Main returns at once unless this process was started as a confined child; then it
// does that child's work and never returns. It must run before anything that opens
// files, starts goroutines or reads arguments, with every Job the program can run.
func Main(jobs ...Job) {
	if !inside() || len(os.Args) != 3 {
		return
	}
	switch os.Args[1] {
	case stageEnter:
		enter(os.Args[2])
	case stageJob:
		work(jobs, os.Args[2])
	}
}

// inside reports whether this process is a confined child.
func inside() bool { return len(os.Args) > 0 && os.Args[0] == childName }

// enter confines the calling thread and executes the parser on it: what a thread gave
// away, the program it executes never gets back, whatever the other threads still have.
func enter(told string) {
	runtime.LockOSThread()
	unix.CloseOnExec(reportFD)
	var p plan
	if err := json.Unmarshal([]byte(told), &p); err != nil {
		refuse(fmt.Errorf("decode plan: %w", err))
	}
	lacks, err := p.restrict()
	if err != nil {
		refuse(err)
	}
	tell(report{Entered: true, Lacks: lacks, NoNet: p.NoNet})
	path, args := p.Program, append([]string{p.Program}, p.Args...)
	env := p.Env
	if path == "" {
		path, args = "/proc/self/exe", []string{childName, stageJob, p.Job}
		env = append(slices.Clone(env), "GOTRACEBACK=none", "GOMAXPROCS=2")
	}
	err = unix.Exec(path, args, env)
	fmt.Fprintln(os.Stderr, "execute:", err)
	os.Exit(exitUnconfined)
}

func refuse(err error) {
	tell(report{Refused: err.Error()})
	os.Exit(exitUnconfined)
}

// tell writes the report; a parent that cannot read it kills the child, so that there
// is nothing to do here when it fails.
func tell(r report) {
	b, err := json.Marshal(r)
	if err != nil {
		os.Exit(exitUnconfined)
	}
	_, _ = unix.Write(reportFD, b)
}

// work runs one Job between stdin and stdout. What the libraries it calls may print
// goes to stderr: stdout belongs to the Job.
func work(jobs []Job, name string) {
	// Executing has made the process dumpable again (prctl(2), PR_SET_DUMPABLE).
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		fail(fmt.Errorf("forbid dumps: %w", err))
	}
	if name == "" {
		os.Exit(0) // Check: it was about going in
	}
	i := slices.IndexFunc(jobs, func(j Job) bool { return j.Name == name })
	if i < 0 {
		fail(fmt.Errorf("job %q was not given to Main", name))
	}
	stdout := os.Stdout
	os.Stdout = os.Stderr
	out := bufio.NewWriterSize(stdout, 1<<20)
	if err := jobs[i].Run(os.Stdin, out); err != nil {
		fail(err)
	}
	if err := out.Flush(); err != nil {
		fail(fmt.Errorf("write result: %w", err))
	}
	os.Exit(0)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(exitJobFailed)
}
