import Fleet
import HTTPTypes
import NIOCore
import Synchronization

/// The answer to a subscription: server-sent events `connected`, values without a name, `ping`, and at the end `return`
/// or `serialized-error`. Its status is always 200: of any other an EventSource tells its page nothing.
struct EventsAnswer: Sendable {
    let exchange: Exchange
    let request: TRPCRequest
    let headers: HTTPFields
    let configuration: TRPCConfiguration

    func answer(_ calls: [PlannedCall]) async throws {
        var headers = headers
        headers[.contentType] = "text/event-stream"
        headers[.cacheControl] = "no-cache, no-transform"
        headers[.accelBuffering] = "no"
        try await exchange.whileClientListens { [headers] in
            let stream = try await exchange.stream(headers: headers)
            let sink = EventSink(stream: stream, inactivity: configuration.reconnectAfterInactivity)
            do {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask {
                        while true {
                            try await Task.sleep(for: configuration.pingInterval)
                            try await sink.ping()
                        }
                    }
                    group.addTask { try await run(calls, sink) }
                    defer { group.cancelAll() }
                    try await group.next()
                }
                try await stream.finish(sink.ending(with: nil))
            } catch is CancellationError where exchange.isCutShort {
                await stream.finishRegardless(sink.ending(with: serialized(TRPCFault(.cutShort))))
                throw CancellationError()
            } catch let error where error is ClientLeft || error is CancellationError {
                throw error
            } catch {
                let fault = TRPCFault(describing: error)
                fault.log(exchange.target.path, to: exchange)
                try await stream.finish(sink.ending(with: serialized(fault)))
            }
        }
    }

    private func run(_ calls: [PlannedCall], _ sink: EventSink) async throws {
        if let fault = request.fault { throw fault }
        let ready = try calls[0].readiness.get()
        guard case .subscription(let stream) = ready.procedure.action else {
            preconditionFailure("nothing but a subscription is planned for events")
        }
        try await ready.metrics.counting(ready.procedure.path) { try await stream(ready.call, sink) }
    }

    private func serialized(_ fault: TRPCFault) -> ByteBuffer {
        fault.shape(path: request.fault == nil ? request.paths.first : nil, requestID: exchange.id)
    }
}

/// The events of one subscription.
///
/// With `isTracked` each value has its position as `id:`, and the client hands its program `{id, data}`. Without, the
/// program gets bare values; but an EventSource that lost its connection opens it again by itself, and what ran once
/// must not run twice. So each write ends with a `ping` that has the position as its id, which the EventSource sends
/// back and nobody else looks at, and the values after it begin by taking the id back (an empty `id:` does, HTML
/// Standard 9.2.6).
final class EventSink: ValueSink {
    private enum Phase {
        case connecting
        case plain
        case tracked
    }

    private let stream: ResponseStream
    private let inactivity: Duration
    private let phase = Mutex(Phase.connecting)

    init(stream: ResponseStream, inactivity: Duration) {
        self.stream = stream
        self.inactivity = inactivity
    }

    func begin(at position: String, isTracked: Bool) async throws {
        phase.withLock { $0 = isTracked ? .tracked : .plain }
        var events = ByteBuffer()
        // A client that finds it silent asks again, with the id only if values have one: else it would run twice.
        Self.write("connected", isTracked ? reconnecting : "{}", id: isTracked ? position : nil, into: &events)
        if !isTracked { Self.write("ping", "{}", id: position, into: &events) }
        try await stream.write(events)
    }

    func yield(_ values: [StreamedValue]) async throws {
        var events = ByteBuffer()
        let before = connect(into: &events)
        for value in values {
            events.writeString(before == .tracked ? "id: \(value.position)\ndata: " : "id:\ndata: ")
            events.writeImmutableBuffer(value.json)
            events.writeStaticString("\n\n")
        }
        if before != .tracked, let last = values.last {
            Self.write("ping", "{}", id: last.position, into: &events)
        }
        try await stream.write(events)
    }

    func ping() async throws {
        guard phase.withLock({ $0 != .connecting }) else { return }  // the first event is `connected`
        var events = ByteBuffer()
        Self.write("ping", "{}", id: nil, into: &events)
        try await stream.writeSignOfLife(events)
    }

    /// The last event: of an error, or `return`.
    func ending(with error: ByteBuffer?) -> ByteBuffer {
        var events = ByteBuffer()
        _ = connect(into: &events)
        if let error {
            Self.write("serialized-error", String(buffer: error), id: nil, into: &events)
        } else {
            Self.write("return", "{}", id: nil, into: &events)
        }
        return events
    }

    /// Says `connected` if that was not said, and returns how values are written.
    private func connect(into events: inout ByteBuffer) -> Phase {
        let before = phase.withLock { phase in
            defer { if phase == .connecting { phase = .plain } }
            return phase
        }
        if before == .connecting { Self.write("connected", "{}", id: nil, into: &events) }
        return before
    }

    private var reconnecting: String { "{\"reconnectAfterInactivityMs\":\(inactivity.milliseconds)}" }

    /// An event by name. Its data is never empty: some stand-ins for EventSource drop events without, id and all.
    private static func write(_ name: String, _ data: String, id: String?, into events: inout ByteBuffer) {
        events.writeString("event: \(name)\n")
        if let id { events.writeString("id: \(id)\n") }
        events.writeString("data: \(data)\n\n")
    }
}
