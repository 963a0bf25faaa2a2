import EventLoop
import Foundation

/// Builds the image that VMs are made of, in the engine: a Debian, the packages of the languages, an SSH server, the
/// runner. No program but the engine is needed for it, and `debootstrap` where the Debian comes from no registry.
package struct ImageBuilder: Sendable {
    package enum Base: Sendable {
        case image(String)  // pulled if the engine does not have it
        case debootstrap(mirror: String?)  // nil: the mirror that this machine's own packages come from
    }

    /// What a user has in an image; the folders of all languages are there, for the runner to say what is missing.
    package enum Languages: Sendable {
        case base  // those whose `set` says so: the common ones
        case full  // all there are
        case named([String])
    }

    package struct Plan: Sendable {
        package var tag: String
        package var base: Base
        package var languages: Languages
        package var runner: String
        package var runtimes: String

        package init(tag: String, base: Base, languages: Languages, runner: String, runtimes: String) {
            self.tag = tag
            self.base = base
            self.languages = languages
            self.runner = runner
            self.runtimes = runtimes
        }
    }

    package enum Progress: Sendable {
        case step(String)
        case detail(String)
    }

    /// An image of the base alone, by its own name, so that a second build need not make it again.
    static let bootstrapped = "martlet/debian:bookworm"

    private let engine: EngineClient

    package init(engine: EngineAddress) { self.engine = EngineClient(address: engine) }

    /// Builds it and gives it the plan's tag, which an older image then loses. Takes minutes.
    package func build(_ plan: Plan, _ report: (Progress) async -> Void) async throws -> VMImage {
        let context = try await ImageContext(plan)
        return try await asking("Image '\(plan.tag)' not built") {
            _ = try await engine.negotiated()
            await report(.step("Base"))
            let base = try await prepare(plan.base, report)
            await report(.step("Image"))
            try await engine.stream(
                "/build", query: buildQuery(plan), body: .tar(try context.archive(base: base)), idle: .seconds(900),
                timeout: .seconds(7_200)
            ) { message in
                let line = (message.stream ?? message.status ?? "").trimmingCharacters(in: .whitespacesAndNewlines)
                if !line.isEmpty { await report(.detail(line)) }
            }
            guard let built = try await list().first(where: { $0.tags.contains(plan.tag) }) else {
                throw ProviderError(
                    .failed, "Image '\(plan.tag)' not built: the engine has none by that name afterwards.",
                    hint: "See the engine's log.")
            }
            return built
        }
    }

    /// The images made by this program that the engine has, newest first.
    package func list() async throws -> [VMImage] {
        try await asking("Images not listed") {
            try await engine.images(label: VMImage.Label.format).map { image in
                VMImage(
                    tags: image.repoTags ?? [], id: image.id, createdAt: Date(timeIntervalSince1970: image.created),
                    sizeInBytes: image.size,
                    runtimes: (image.labels?[VMImage.Label.runtimes] ?? "").split(separator: ",").map(String.init),
                    runnerVersion: image.labels?[VMImage.Label.runner] ?? "?")
            }.sorted { $0.createdAt > $1.createdAt }
        }
    }

    // MARK: Inside

    /// Steps have the machine's own network: they fetch packages and run nothing of anybody else's.
    private func buildQuery(_ plan: Plan) throws -> [(String, String)] {
        let environment = ProcessInfo.processInfo.environment
        let proxies = ["http_proxy", "https_proxy", "no_proxy"].flatMap { [$0, $0.uppercased()] }
            .reduce(into: [:]) { $0[$1] = environment[$1] }
        let arguments = String(decoding: try JSONEncoder().encode(proxies), as: UTF8.self)
        return [
            ("t", plan.tag), ("rm", "1"), ("forcerm", "1"), ("networkmode", "host"), ("buildargs", arguments),
        ]
    }

    private func prepare(_ base: Base, _ report: (Progress) async -> Void) async throws -> String {
        switch base {
        case .image(let reference):
            if try await engine.image(reference) != nil { return reference }
            let (name, tag) = Self.split(reference)
            do {
                try await engine.stream(
                    "/images/create", query: [("fromImage", name), ("tag", tag)], idle: .seconds(300),
                    timeout: .seconds(3_600)
                ) { message in
                    let parts = [message.id, message.status, message.progress].compactMap { $0 }
                    await report(.detail(parts.joined(separator: " ")))
                }
            } catch let failure as EngineFailure {
                throw ProviderError(
                    .unavailable, "The image '\(reference)' cannot be had: \(failure.message)",
                    hint: "Where no registry can be reached, use --from-debootstrap.", cause: failure)
            }
            return reference
        case .debootstrap(let mirror):
            let sources = AptSources.ofThisMachine(mirror: mirror)
            await report(.detail("debootstrap from \(sources.mirror)"))
            let tree = try await Debootstrap(sources: sources).archive { await report(.detail($0)) }
            await report(.detail("importing \(tree.count >> 20) MB"))
            let (name, tag) = Self.split(Self.bootstrapped)
            try await engine.stream(
                "/images/create", query: [("fromSrc", "-"), ("repo", name), ("tag", tag)], body: .tar(tree),
                idle: .seconds(300), timeout: .seconds(1_800)
            ) { _ in }
            return Self.bootstrapped
        }
    }

    /// `name:tag`; the colon of a registry's port is none of a tag.
    private static func split(_ reference: String) -> (name: String, tag: String) {
        guard let colon = reference.lastIndex(of: ":"), !reference[colon...].contains("/") else {
            return (reference, "latest")
        }
        return (String(reference[..<colon]), String(reference[reference.index(after: colon)...]))
    }

    private func asking<Result>(_ what: String, _ body: () async throws -> Result) async throws -> Result {
        do {
            return try await body()
        } catch let failure as EngineFailure {
            throw failure.asProviderError(what)
        }
    }
}
