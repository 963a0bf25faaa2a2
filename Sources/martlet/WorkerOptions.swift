import ArgumentParser
import Operator

/// How often jobs are tried: for all who make them, gateways too.
struct JobOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "How often a job is tried, '4' or 'provision=3,control=2' (MARTLET_JOB_ATTEMPTS).",
            discussion: "Else provision=3,control=2.", valueName: "attempts"))
    var jobAttempts: String?

    @Option(
        help: ArgumentHelp(
            "Seconds before the second attempt, then twice as long each time (MARTLET_JOB_BACKOFF).",
            discussion: "As the attempts; else provision=5,control=2.", valueName: "seconds"))
    var jobBackoff: String?

    func set(in layer: inout WorkerLayer) {
        layer.jobAttempts = jobAttempts
        layer.jobBackoff = jobBackoff
    }
}

/// How a worker works.
struct WorkerOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "VMs made at the same time (MARTLET_PROVISION_CONCURRENCY).", discussion: "Else 2.", valueName: "jobs"))
    var provisionConcurrency: Int?

    @Option(
        help: ArgumentHelp(
            "VMs started, stopped or destroyed at the same time (MARTLET_CONTROL_CONCURRENCY).",
            discussion: "Else 5.", valueName: "jobs"))
    var controlConcurrency: Int?

    @Option(
        help: ArgumentHelp(
            "How often it looks for what is idle, over, stuck or to be emptied (MARTLET_SWEEP_INTERVAL).",
            discussion: "Else 15.", valueName: "seconds"))
    var sweepInterval: Double?

    @Option(
        help: ArgumentHelp(
            "How often rows and VMs are compared (MARTLET_RECONCILE_INTERVAL).", discussion: "Else 30.",
            valueName: "seconds"))
    var reconcileInterval: Double?

    @Option(
        help: ArgumentHelp(
            "How often old records are removed (MARTLET_PRUNE_INTERVAL).", discussion: "Else 3600.",
            valueName: "seconds"))
    var pruneInterval: Double?

    @Option(
        help: ArgumentHelp(
            "Days the history of executions is kept, 'never' to remove none (MARTLET_EXECUTION_RETENTION).",
            discussion: "Else 90.", valueName: "days"))
    var executionRetention: String?

    @Option(
        help: ArgumentHelp(
            "Days the audit log is kept, 'never' to remove nothing (MARTLET_AUDIT_RETENTION).",
            discussion: "Else 400.", valueName: "days"))
    var auditRetention: String?

    @Option(
        help: ArgumentHelp(
            "Days it is kept when each VM ran, 'never' to remove none (MARTLET_UPTIME_RETENTION).",
            discussion: "Else 400; at least 32, for the hours of a month are counted from that.", valueName: "days"))
    var uptimeRetention: String?

    @Option(
        help: ArgumentHelp(
            "How long its jobs may take to end when it is told to stop; then another has them (MARTLET_DRAIN_TIMEOUT).",
            discussion: "Else 30.", valueName: "seconds"))
    var drainTimeout: Double?

    func set(in layer: inout WorkerLayer) {
        layer.provisionConcurrency = provisionConcurrency
        layer.controlConcurrency = controlConcurrency
        layer.sweepInterval = sweepInterval
        layer.reconcileInterval = reconcileInterval
        layer.pruneInterval = pruneInterval
        layer.executionRetention = executionRetention
        layer.auditRetention = auditRetention
        layer.uptimeRetention = uptimeRetention
        layer.drainTimeout = drainTimeout
    }
}
