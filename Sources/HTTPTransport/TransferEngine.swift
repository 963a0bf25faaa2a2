import CLibCurl
import EventLoop

/// Owns one `CURLM *` and all transfers on it. libcurl: "You must never share the same handle in multiple threads"
/// (libcurl-thread(3)); this actor runs on its loop's thread, and libcurl calls back only from inside calls made here.
/// The handle points at this actor unretained: `deinit` takes the callbacks out before it goes.
actor TransferEngine {
    struct ID: Hashable, Sendable { fileprivate let number: Int }

    private let loop: EventLoop
    private let multi: UnsafeMutableRawPointer
    private var transfers: [ID: Transfer] = [:]
    private var running: [UnsafeMutableRawPointer: ID] = [:]
    private var lastNumber = 0
    private var watched: Set<Int32> = []
    private var timer: EventLoop.TimerID?
    private var sockets: [ID: BareSocket] = [:]

    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    /// Thread-safe since libcurl 7.84 (curl_global_init(3)).
    private static let globalInit = curl_global_init(Int(CURL_GLOBAL_DEFAULT))

    init(loop: EventLoop) {
        precondition(Self.globalInit == CURLE_OK, "libcurl could not be initialised")
        guard let multi = curl_multi_init() else { preconditionFailure("no memory for a libcurl multi handle") }
        self.loop = loop
        self.multi = multi
        ccurl_multi_setopt_long(multi, CURLMOPT_MAXCONNECTS, 64)  // idle ones kept
        let context = Unmanaged.passUnretained(self).toOpaque()
        ccurl_multi_socket(multi, socketCallback, context)
        ccurl_multi_timer(multi, timerCallback, context)
    }

    isolated deinit {
        timer.map(loop.cancel)
        ccurl_multi_socket(multi, nil, nil)
        ccurl_multi_timer(multi, nil, nil)
        for descriptor in watched { loop.unwatch(descriptor) }
        curl_multi_cleanup(multi)
    }

    // MARK: For the client

    func start(_ request: HTTPRequest, isBare: Bool = false) throws -> ID {
        try Task.checkCancellation()
        let transfer = try Transfer(request, isBare: isBare)
        lastNumber += 1
        let id = ID(number: lastNumber)
        transfers[id] = transfer
        running[transfer.raw] = id
        let code = curl_multi_add_handle(multi, transfer.raw)
        guard code == CURLM_OK else {
            running[transfer.raw] = nil
            transfers[id] = nil
            throw HTTPTransportError(.failed, "\(request.place): \(String(cString: curl_multi_strerror(code)))")
        }
        return id
    }

    func head(of id: ID) async throws -> ResponseHead {
        while let transfer = transfers[id] {
            if let head = transfer.head { return head }
            if case .failed(let error) = transfer.ending { throw error }
            if case .whole = transfer.ending { throw transfer.noHead }
            try await change(of: id, transfer)
        }
        throw CancellationError()
    }

    /// The bytes that have arrived since the last call, at least one; `nil` after the last.
    func next(of id: ID) async throws -> [UInt8]? {
        while let transfer = transfers[id] {
            if let bytes = transfer.take() {
                if transfer.isPaused { resume(transfer) }
                return bytes
            }
            switch transfer.ending {
            case .whole: return nil
            case .failed(let error): throw error
            case nil: try await change(of: id, transfer)
            }
        }
        throw CancellationError()
    }

    func trailers(of id: ID) -> [(String, String)] { transfers[id]?.trailers ?? [] }

    /// Forgets the transfer, and closes its connection if it has not come to its end. Idempotent.
    func end(_ id: ID) {
        guard let transfer = transfers.removeValue(forKey: id) else { return }
        sockets.removeValue(forKey: id)?.end(loop)
        detach(transfer)
        transfer.wake()
    }

    // MARK: Connections without HTTP

    /// Connects, in TLS where the URL says so, and says nothing.
    func connect(_ request: HTTPRequest) async throws -> ID {
        let id = try start(request, isBare: true)
        while let transfer = transfers[id] {
            switch transfer.ending {
            case .failed(let error):
                end(id)
                throw error
            case .whole:
                var descriptor = curl_socket_t(-1)
                let code = ccurl_active_socket(transfer.raw, &descriptor)
                guard code == CURLE_OK, descriptor >= 0 else {
                    let error = transfer.failure(code)
                    end(id)
                    throw error
                }
                if watched.remove(descriptor) != nil { loop.unwatch(descriptor) }
                sockets[id] = BareSocket(descriptor)
                return id
            case nil: try await change(of: id, transfer)
            }
        }
        throw CancellationError()
    }

    /// At least one byte; `nil` once the server has closed its side. One caller at a time.
    func receive(_ id: ID, upTo limit: Int) async throws -> [UInt8]? {
        while let transfer = transfers[id] {
            var code = CURLE_OK
            let bytes = [UInt8](unsafeUninitializedCapacity: limit) { buffer, count in
                code = curl_easy_recv(transfer.raw, buffer.baseAddress, limit, &count)
                if code != CURLE_OK { count = 0 }
            }
            switch code {
            case CURLE_OK: return bytes.isEmpty ? nil : bytes
            case CURLE_AGAIN: try await sockets[id]?.readiness(for: .read, on: loop)
            default: throw transfer.failure(code)
            }
        }
        throw CancellationError()
    }

    /// Returns once the kernel has all of it. One caller at a time; to cancel it is to leave the connection.
    func send(_ bytes: [UInt8], to id: ID) async throws {
        var sent = 0
        while sent < bytes.count {
            guard let transfer = transfers[id] else { throw CancellationError() }
            var count = 0
            let code = bytes[sent...].withUnsafeBytes { curl_easy_send(transfer.raw, $0.baseAddress, $0.count, &count) }
            switch code {
            case CURLE_OK: sent += count
            case CURLE_AGAIN: try await sockets[id]?.readiness(for: .write, on: loop)
            default: throw transfer.failure(code)
            }
        }
    }

    // MARK: Inside

    /// Waits until something about the transfer has changed. Cancellation ends the transfer then and there.
    private func change(of id: ID, _ transfer: Transfer) async throws {
        let waiter = Waiter<Void>()
        transfer.notify(waiter)
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { waiter.hold($0) }
        } onCancel: {
            loop.execute { self.assumeIsolated { $0.end(id) } }
        }
    }

    private func resume(_ transfer: Transfer) {
        transfer.isPaused = false
        guard transfer.ending == nil else { return }
        curl_easy_pause(transfer.raw, CURLPAUSE_CONT)  // calls the write function with what it held back
        collectEndings()
    }

    private func detach(_ transfer: Transfer) {
        guard running.removeValue(forKey: transfer.raw) != nil else { return }
        curl_multi_remove_handle(multi, transfer.raw)
    }

    private func act(on descriptor: Int32, _ events: Int32) {
        var count: Int32 = 0
        curl_multi_socket_action(multi, descriptor, events, &count)
        collectEndings()
    }

    private func collectEndings() {
        var left: Int32 = 0
        while let message = curl_multi_info_read(multi, &left) {
            let (kind, raw, result) = (message.pointee.msg, message.pointee.easy_handle, message.pointee.data.result)
            guard kind == CURLMSG_DONE, let raw, let id = running[raw], let transfer = transfers[id] else { continue }
            transfer.finish(result)
            // The connection of one that only connects is closed with its handle.
            if !transfer.isBare || result != CURLE_OK { detach(transfer) }
        }
    }

    fileprivate func watch(_ descriptor: Int32, _ what: Int32) {
        if what == CURL_POLL_REMOVE {
            // libcurl 7.88 (`cf_socket_close`) has closed by then what was still connecting.
            if watched.remove(descriptor) != nil { loop.unwatch(descriptor, mayBeClosed: true) }
            return
        }
        var interest: EventLoop.Readiness = []
        if what == CURL_POLL_IN || what == CURL_POLL_INOUT { interest.insert(.read) }
        if what == CURL_POLL_OUT || what == CURL_POLL_INOUT { interest.insert(.write) }
        guard watched.insert(descriptor).inserted else { return loop.setInterest(of: descriptor, to: interest) }
        loop.watch(descriptor, for: interest) { [weak self] ready in
            let events = (ready.contains(.read) ? CURL_CSELECT_IN : 0) | (ready.contains(.write) ? CURL_CSELECT_OUT : 0)
            self?.assumeIsolated { $0.act(on: descriptor, events) }
        }
    }

    fileprivate func setTimer(_ milliseconds: Int) {
        timer.map(loop.cancel)
        timer = nil
        guard milliseconds >= 0 else { return }
        timer = loop.schedule(after: .milliseconds(milliseconds)) { [weak self] in
            self?.assumeIsolated { engine in
                engine.timer = nil
                engine.act(on: CURL_SOCKET_TIMEOUT, 0)
            }
        }
    }
}

private let socketCallback: curl_socket_callback = { _, descriptor, what, context, _ in
    guard let context else { return 0 }
    Unmanaged<TransferEngine>.fromOpaque(context).takeUnretainedValue()
        .assumeIsolated { $0.watch(descriptor, what) }
    return 0
}

private let timerCallback: curl_multi_timer_callback = { _, milliseconds, context in
    guard let context else { return 0 }
    Unmanaged<TransferEngine>.fromOpaque(context).takeUnretainedValue()
        .assumeIsolated { $0.setTimer(milliseconds) }
    return 0
}
