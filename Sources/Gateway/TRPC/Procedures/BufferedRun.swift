import Execution
import Fleet
import NIOCore
import Synchronization

/// A run whose output is kept until it has ended, within the budget of all such runs.
struct BufferedRun {
    private let id: ExecutionID
    private let share: BudgetShare
    private var joiners: (stdout: TextJoiner, stderr: TextJoiner) = (TextJoiner(), TextJoiner())
    private var stdout = ByteBuffer()
    private var stderr = ByteBuffer()

    init(id: ExecutionID, budget: BufferBudget) {
        self.id = id
        share = BudgetShare(of: budget)
    }

    /// The result, once the run has ended. Throws what ended it otherwise.
    mutating func add(_ event: ExecutionEvent) throws -> Outcome? {
        switch event {
        case .status, .started, .keepalive: return nil
        case .output(.stdout, let bytes): try keep(joiners.stdout.append(bytes), in: \.stdout)
        case .output(.stderr, let bytes): try keep(joiners.stderr.append(bytes), in: \.stderr)
        case .error(let error): throw error
        case .exit(let report):
            if let fault = report.fault { throw fault }
            try keep(joiners.stdout.flush(), in: \.stdout)
            try keep(joiners.stderr.flush(), in: \.stderr)
            var end = ByteBuffer(string: "\",\"executionId\":\"\(id)\",")
            end.writeFields(of: report.withExitCode)
            end.writeStaticString("}")
            return Outcome(
                pieces: [
                    ByteBuffer(string: "{\"stdout\":\""), stdout, ByteBuffer(string: "\",\"stderr\":\""), stderr, end,
                ], share: share)
        }
        return nil
    }

    /// As it is sent, so that what is counted is what is held.
    private mutating func keep(
        _ piece: TextJoiner.Piece?, in text: WritableKeyPath<BufferedRun, ByteBuffer>
    ) throws(ServiceError) {
        guard let piece else { return }
        let before = self[keyPath: text].readableBytes
        self[keyPath: text].writeText(piece)
        try share.take(self[keyPath: text].readableBytes - before)
    }

    /// What the first implementation answered where a VM's state lets nothing run. The exit code is its word for "did
    /// not work" and nobody's exit; `reason` says so.
    static func notRun(because error: ServiceError) -> Outcome {
        var json = ByteBuffer(string: "{\"stdout\":\"\",\"stderr\":")
        json.writeJSONString("\(error.message) \(error.hint)\n")
        json.writeStaticString(
            ",\"executionId\":null,\"exitCode\":1,\"signal\":null,\"reason\":\"not_run\",\"stage\":null,")
        json.writeStaticString("\"durationMs\":null,\"cpuMs\":null,\"maxRssBytes\":null,\"truncated\":false}")
        return Outcome(pieces: [json])
    }
}

/// What one answer takes of a budget; given back when nobody holds the answer any more.
final class BudgetShare: Sendable {
    private let budget: BufferBudget
    private let taken = Atomic(0)

    init(of budget: BufferBudget) { self.budget = budget }

    deinit { budget.giveBack(taken.load(ordering: .relaxed)) }

    /// Throws `service_unavailable` when no more can be held.
    func take(_ count: Int) throws(ServiceError) {
        try budget.take(count)
        taken.add(count, ordering: .relaxed)
    }
}
