import Foundation
import HTTPTransport
import Logging

/// Signed calls to OVH's API, version 1.
///
/// A call that fails is made again where that can do no harm (``Repetition``), after a pause that grows and varies, or
/// the one the server asked for; at most `configuration.attempts` times. All calls of one client share one budget (``CallBudget``)
/// and one idea of the server's clock. Every failure carries the id by which OVH's support finds the call.
struct OVHClient: Sendable {
    /// What may be sent a second time.
    enum Repetition: Sendable {
        case never  // whoever calls looks first what the failed call has done
        case ifRefused  // only where it certainly had no effect
        case always  // the second time changes nothing
    }

    enum Method: String, Sendable { case get = "GET", post = "POST", delete = "DELETE" }

    struct Call: Sendable {
        var method: Method
        var path: String
        var query: [(String, String)] = []
        var body: [UInt8]?
        var repetition: Repetition
        var isSigned = true

        var description: String { "\(method.rawValue) \(path)" }
    }

    /// A server that asks for a longer pause has to be called again by whoever called us.
    static let longestPause = Duration.seconds(120)
    private static let bodyLimit = 8 << 20

    let configuration: OVHConfiguration
    private let http: HTTPClient
    private let logger: Logger
    private let budget: CallBudget
    private let serverClock = ServerClock()

    init(configuration: OVHConfiguration, http: HTTPClient = HTTPClient(), logger: Logger) {
        self.configuration = configuration
        self.http = http
        self.logger = logger
        budget = CallBudget(
            rate: configuration.requestsPerSecond, burst: configuration.burst, clock: configuration.clock)
    }

    /// The body of a good answer; empty where there is none. Throws ``OVHError`` or `CancellationError`.
    func send(_ call: Call) async throws -> [UInt8] {
        var failures = 0
        var hasRenewedTime = false
        while true {
            try await budget.take()
            do {
                return try await attempt(call)
            } catch let error as OVHError {
                var metadata: Logger.Metadata = ["call": "\(call.description)", "error": "\(error)"]
                if error.kind == .clockRefused, !hasRenewedTime {
                    hasRenewedTime = true
                    await serverClock.forget()
                    logger.info("OVH refused the time of a signature, asking for its own", metadata: metadata)
                    continue
                }
                failures += 1
                guard failures < configuration.attempts, call.mayBeRepeated(after: error),
                    let pause = pause(after: error, failures: failures)
                else { throw error }
                metadata["pause"] = "\(pause)"
                logger.info("call to OVH failed, will be repeated", metadata: metadata)
                try await configuration.clock.sleep(for: pause)
            }
        }
    }

    /// What a caller that repeats by itself is to wait; `nil` if longer than is worth while.
    func pause(after error: OVHError, failures: Int) -> Duration? {
        if let asked = error.retryAfter { return asked <= Self.longestPause ? asked : nil }
        let ceiling = min(30, pow(2, Double(failures - 1)))  // full jitter, 1 to 30 s
        return .milliseconds(Int(configuration.random(0...ceiling) * 1_000))
    }

    /// The server's time, in whole seconds. Unsigned: a wrong key still gets an answer.
    func time() async throws -> Int {
        try decode(
            try await send(Call(method: .get, path: "/auth/time", repetition: .always, isSigned: false)),
            of: "GET /auth/time")
    }

    func decode<Answer: Decodable>(_ body: [UInt8], as type: Answer.Type = Answer.self, of call: String) throws
        -> Answer
    {
        do {
            return try JSONDecoder().decode(type, from: Data(body))
        } catch {
            throw OVHError(
                kind: .serverFailed, call: call, message: "the answer is not what it should be: \(error)")
        }
    }

    // MARK: One attempt

    private func attempt(_ call: Call) async throws -> [UInt8] {
        let credentials = configuration.credentials
        let url = configuration.endpoint.url(of: call.path, query: call.query)
        var headers = [("X-Ovh-Application", credentials.applicationKey), ("Accept", "application/json")]
        if call.body != nil { headers.append(("Content-Type", "application/json")) }
        if call.isSigned {
            let local = Int(configuration.now().timeIntervalSince1970.rounded(.down))
            let delta: Int
            if let known = await serverClock.delta(at: local) {
                delta = known
            } else {
                delta = try await time() - local
                await serverClock.learn(delta, at: local)
            }
            let timestamp = Int(configuration.now().timeIntervalSince1970.rounded(.down)) + delta
            headers += [
                ("X-Ovh-Consumer", credentials.consumerKey), ("X-Ovh-Timestamp", String(timestamp)),
                (
                    "X-Ovh-Signature",
                    OVHSignature.sign(
                        call.method.rawValue, url, body: call.body ?? [], timestamp: timestamp, with: credentials)
                ),
            ]
        }
        var request = HTTPRequest(
            call.method.rawValue, url, headers: headers, body: call.body, timeout: configuration.requestTimeout)
        request.isRepeatable = call.repetition == .always
        let answer = try await exchange(request, call)
        guard (200..<300).contains(answer.status) else {
            throw OVHError(
                status: answer.status, body: answer.body, call: call.description, queryID: answer["X-Ovh-QueryID"],
                retryAfter: answer["Retry-After"].flatMap { Self.retryAfter($0, now: configuration.now()) },
                scrub: credentials.scrubbed)
        }
        return answer.body
    }

    private func exchange(_ request: HTTPRequest, _ call: Call) async throws -> HTTPResponse {
        do {
            return try await http.send(request, bodyLimit: Self.bodyLimit)
        } catch let error as HTTPTransportError {
            let kind: OVHError.Kind =
                switch error.code {
                case .connectFailed: .notSent
                case .closed, .timeout, .failed: .noAnswer
                case .tls: .insecure
                case .invalidRequest: .badRequest
                case .protocolViolation, .tooLarge: .serverFailed
                }
            throw OVHError(
                kind: kind, call: call.description, message: configuration.credentials.scrubbed(error.message))
        }
    }

    /// Seconds, or a date (RFC 9110, section 10.2.3).
    static func retryAfter(_ text: String, now: Date) -> Duration? {
        if let seconds = Int(text.trimmingCharacters(in: .whitespaces)) { return .seconds(max(0, seconds)) }
        let format = DateFormatter()
        format.locale = Locale(identifier: "en_US_POSIX")
        format.timeZone = TimeZone(identifier: "GMT")
        format.dateFormat = "EEE, dd MMM yyyy HH:mm:ss zzz"
        return format.date(from: text).map { .seconds(max(0, Int($0.timeIntervalSince(now).rounded(.up)))) }
    }
}

extension OVHClient.Call {
    fileprivate func mayBeRepeated(after error: OVHError) -> Bool {
        let isWorthIt =
            switch error.kind {
            case .notSent, .noAnswer, .tooManyRequests, .serverFailed: true
            case .insecure, .clockRefused, .signatureRefused, .credentialRefused, .keyUnknown, .notGranted, .forbidden,
                .notFound, .conflict, .projectExpired, .badRequest:
                false
            }
        return switch repetition {
        case .never: false
        case .ifRefused: isWorthIt && !error.mayHaveHadEffect
        case .always: isWorthIt
        }
    }
}

/// How far the server's clock is ahead of this machine's, as last learned; forgotten after an hour.
private actor ServerClock {
    private var known: (delta: Int, learnedAt: Int)?

    func delta(at local: Int) -> Int? {
        guard let known, abs(local - known.learnedAt) < 3_600 else { return nil }
        return known.delta
    }

    func learn(_ delta: Int, at local: Int) { known = (delta, local) }
    func forget() { known = nil }
}

/// A token bucket: `burst` calls at once, `rate` a second in the long run. Callers wait in the order they came.
private actor CallBudget {
    private let rate: Double
    private let burst: Double
    private let clock: any Clock<Duration>
    private let elapsed: @Sendable () -> Duration
    private var tokens: Double
    private var filledAt = Duration.zero

    init(rate: Double, burst: Double, clock: any Clock<Duration>) {
        self.rate = rate
        self.burst = burst
        self.clock = clock
        elapsed = stopwatch(of: clock)
        tokens = burst
    }

    /// The count goes below zero: it says how long the queue is, and so how long the next one waits.
    func take() async throws {
        let now = elapsed()
        tokens = min(burst, tokens + (now - filledAt) / .seconds(1) * rate)
        filledAt = now
        tokens -= 1
        guard tokens < 0 else { return }
        do {
            try await clock.sleep(for: .seconds(-tokens / rate))
        } catch {
            tokens += 1
            throw error
        }
    }
}

/// Says at each call how long ago it was made itself.
func stopwatch(of clock: some Clock<Duration>) -> @Sendable () -> Duration {
    let start = clock.now
    return { start.duration(to: clock.now) }
}
