import Fleet
import Logging
import Telemetry

/// One thing that is looked for again and again. Each is repeated by itself: one that fails is logged, counted and tried
/// again at its interval, and keeps no other from its rounds.
struct Sweep: Sendable {
    let name: String
    let interval: Duration
    let round: @Sendable () async throws -> Void

    init(_ name: String, every interval: Duration, _ round: @escaping @Sendable () async throws -> Void) {
        self.name = name
        self.interval = interval
        self.round = round
    }

    /// Repeats it until cancelled.
    func run(_ metrics: WorkerMetrics, _ logger: Logger) async {
        while !Task.isCancelled {
            let began = ContinuousClock.now
            do {
                try await round()
                metrics.sweepSeconds.observe(.now - began, name, "ok")
            } catch is CancellationError {
                return
            } catch {
                metrics.sweepSeconds.observe(.now - began, name, "failed")
                logger.warning("sweep failed", metadata: ["sweep": "\(name)", "error": "\(error)"])
            }
            do { try await Task.sleep(for: interval) } catch { return }
        }
    }
}

extension Sequence {
    /// Calls `body` with each, one after the other. One that fails keeps nobody from the others; the first failure is
    /// thrown at the end. Where the servers cannot be reached, that is the end: it would be the same for all.
    func eachAlone(_ body: (Element) async throws -> Void) async throws {
        var first: (any Error)?
        for element in self {
            do {
                try await body(element)
            } catch let error as ServiceError where error.code != .serviceUnavailable {
                first = first ?? error
            }
        }
        if let first { throw first }
    }
}
