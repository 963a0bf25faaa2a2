import ArgumentParser
import Client

struct AdminJobsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "jobs", abstract: "See what workers do and failed to do, and have it done again.",
        discussion: """
            A job that used up its attempts is kept in state 'failed' until it is retried or discarded.

            Examples:
              martlet admin jobs list
              martlet admin jobs show JOB
              martlet admin jobs retry JOB
              martlet admin jobs retry --all
            """,
        subcommands: [List.self, Show.self, Retry.self, Promote.self, Discard.self], defaultSubcommand: List.self)

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List the jobs in a state, newest first.")
        @OptionGroup var list: ListOptions
        @Option(help: "Only those of this queue.") var queue: String?
        @Option(help: "Those in this state: waiting, delayed, active, completed, failed, …")
        var state = "failed"

        func run() async throws {
            let client = try list.answer.client()
            var all: [JSONValue] = []
            var isCut = false
            for queue in try await client.queues(queue) {
                let jobs = try await client.list(
                    "\(try Resource.job.path(of: queue))/jobs", [("state", state)], field: Resource.job.many,
                    paging: .cursor(parameter: "offset", field: "nextOffset"), limit: list.most)
                all += jobs.entries.map { $0.with("queue", .string(queue)) }
                isCut = isCut || jobs.isCut
            }
            all.sort { ($0["createdAt"]?.text ?? "") > ($1["createdAt"]?.text ?? "") }
            let newest = APIClient.Listing(
                entries: Array(all.prefix(list.most)), isCut: isCut || all.count > list.most)
            try await list.print(newest, .job, whenEmpty: "There are no \(state) jobs.")
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show a job: its data, its attempts, why it failed, its stack and its log.")
        @OptionGroup var job: NamedJobOptions

        func run() async throws {
            let (answer, queue) = try await job.call("GET")
            try await job.answer.show(answer) { answer, style in Resource.report(of: answer, in: queue, style) }
        }
    }

    struct Retry: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Have the work of a failed job done again, or of all failed jobs.")
        @OptionGroup var answer: AnswerOptions
        @OptionGroup var queue: QueueOption
        @Argument(help: "The job's id.") var job: String?
        @Flag(help: "All failed jobs.") var all = false

        func validate() throws {
            guard (job == nil) == all else { throw ValidationError("Say which job, or --all.") }
        }

        func run() async throws {
            let client = try answer.client()
            if let job {
                let retried = try await client.call(job: job, in: queue.queue, "POST", "/retry")
                return try await answer.show(retried.answer) { answer, _ in
                    "done again by job \(answer["jobId"]?.text ?? job)"
                }
            }
            for queue in try await client.queues(queue.queue) {
                let path = "\(try Resource.queue.path(of: queue))/retry"
                try await answer.show(try await client.call("POST", path)) { answer, _ in
                    let left = answer["left"]?.integer ?? 0
                    return "\(queue): \(answer["retried"]?.text ?? "0") retried" + (left > 0 ? ", \(left) left" : "")
                }
            }
        }
    }

    struct Promote: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Let a delayed job run now.")
        @OptionGroup var job: NamedJobOptions

        func run() async throws { try await job.answer.show(.job, try await job.call("POST", "/promote").answer) }
    }

    struct Discard: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Remove a job that no worker has.")
        @OptionGroup var job: NamedJobOptions

        func run() async throws { _ = try await job.call("DELETE") }
    }
}

/// In which queue a job is.
struct QueueOption: ParsableArguments {
    @Option(help: "The job's queue; by default each is looked into.") var queue: String?
}

/// What commands have in common that are about one job.
struct NamedJobOptions: ParsableArguments {
    @OptionGroup var answer: AnswerOptions
    @OptionGroup var queue: QueueOption
    @Argument(help: "The job's id.") var job: String

    func call(_ method: String, _ verb: String = "") async throws -> (answer: APIClient.Answer, queue: String) {
        try await answer.client().call(job: job, in: queue.queue, method, verb)
    }
}

extension APIClient {
    /// The queue that is named, else all.
    fileprivate func queues(_ name: String?) async throws -> [String] {
        if let name { return [name] }
        return try await list(Resource.queue.path, field: Resource.queue.many, paging: .whole, limit: 1_000)
            .entries.compactMap { $0["name"]?.text }
    }

    /// Calls something of a job, in whichever queue it is; returns that too.
    fileprivate func call(
        job: String, in queue: String?, _ method: String, _ verb: String
    ) async throws -> (answer: Answer, queue: String) {
        var missing: ClientError?
        for queue in try await queues(queue) {
            do {
                let path = "\(try Resource.job.path(of: queue))/jobs/\(try Self.pathSegment(job))\(verb)"
                return (try await call(method, path), queue)
            } catch let error as ClientError where error.code == "job_not_found" {
                missing = error
            }
        }
        throw missing
            ?? ClientError(.refused, code: "job_not_found", message: "There is no job '\(job)'.", hint: "")
    }
}
