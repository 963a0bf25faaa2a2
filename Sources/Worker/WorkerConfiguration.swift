package import Execution

/// How a worker works.
package struct WorkerConfiguration: Sendable {
    /// Unique among the workers; shown in the audit log and in `CLIENT LIST`.
    package var name: String
    package var provisionConcurrency = 2
    package var controlConcurrency = 5
    /// How long jobs and setups under way may take to end once it is told to stop; then they are put back.
    package var drainTimeout = Duration.seconds(30)
    /// How long a job may go without a sign of life before another worker takes it over.
    package var lockDuration = Duration.seconds(30)
    package var stalledInterval = Duration.seconds(30)
    /// How long a job is put back for want of its provider before its environment is given up.
    package var absenceLimit = Duration.seconds(300)
    /// How long jobs are put off, without spending attempts, while what they need cannot be reached.
    package var outageLimit = Duration.seconds(300)

    /// How often it looks for what is idle, over, stuck or to be emptied.
    package var sweepInterval = Duration.seconds(15)
    package var reconcileInterval = Duration.seconds(30)
    package var lostInterval = Duration.seconds(5)
    package var sampleInterval = Duration.seconds(20)
    package var pruneInterval = Duration.seconds(3_600)
    package var relayInterval = Duration.seconds(1)
    /// How often it looks for setups that nobody is at.
    package var setupInterval = Duration.seconds(2)
    /// How often one that is not elected to sweep stands for election.
    package var electionInterval = Duration.seconds(1)

    /// For how long the history of executions is kept, the audit log, and when each VM ran; nil: for ever. The hours of
    /// the month are counted from the last, so it must be longer than one.
    package var executionsKept: Duration? = .seconds(90 * 86_400)
    package var auditKept: Duration? = .seconds(400 * 86_400)
    package var uptimeKept: Duration? = .seconds(400 * 86_400)
    /// How old a transitional state must be before its job is asked after; younger ones have it under way.
    package var stuckAge = Duration.seconds(15)
    /// How long an environment must have been `stopped` or `error` before a VM of it that runs is stopped.
    package var strayAge = Duration.seconds(60)

    /// What is installed in VMs that were made without a runner, to set them up; nil: all providers bring theirs.
    package var runner: RunnerFiles?

    package init(name: String) { self.name = name }
}
