{{/* server.socketPath with a slash at both ends. */}}
{{- define "tradecast.socketPath" -}}
/{{ trimAll "/" (.Values.server.socketPath | default "socket.io") }}/
{{- end -}}

{{/* The server's settings that are not secret: docs/settings.md. */}}
{{- define "tradecast.config.settings" -}}
{{- $v := .Values -}}
{{- $settings := dict
  "SOCKET_PATH" (include "tradecast.socketPath" .)
  "MAX_CONNECTIONS" ($v.server.maxConnections | int64)
  "LOG_LEVEL" $v.server.logLevel
  "LOG_FORMAT" "json"
  "METRICS_PUBLIC" false
  "EMIT_PUBLIC" false
  "DRAIN_DELAY" $v.drain.delaySeconds
  "DRAIN_RATE" $v.drain.connectionsPerSecond
  "DRAIN_TIMEOUT" (include "tradecast.drainTimeout" .)
  "SHUTDOWN_TIMEOUT" $v.drain.shutdownSeconds
  "ACCEPT_RATE" $v.accept.connectionsPerSecond
  "ACCEPT_BURST" ($v.accept.burst | int64)
  "ACCEPT_WAIT" $v.accept.waitSeconds
  "SESSION_STORE" $v.sessions.store
  "SESSION_COLLECTION" $v.sessions.collection
  "SESSION_KEY_PREFIX" $v.sessions.keyPrefix
-}}
{{- if or $v.server.transports (hasKey ($v.server.settings | default dict) "TRANSPORTS") -}}{{- $_ := set $settings "TRANSPORTS" $v.server.transports -}}{{- end -}}
{{- /* The port that the NetworkPolicy allows: if it is taken, another port would not help. */ -}}
{{- if include "tradecast.forwards" . -}}{{- $_ := set $settings "INTERNAL_PORT" 9200 -}}{{- end -}}
{{- with $v.drain.platformNoticeSeconds -}}{{- $_ := set $settings "PLATFORM_NOTICE" . -}}{{- end -}}
{{- if $v.server.corsOrigin -}}{{- $_ := set $settings "CORS_ORIGIN" $v.server.corsOrigin -}}{{- end -}}
{{- if $v.server.requireTls -}}{{- $_ := set $settings "REQUIRE_TLS" true -}}{{- end -}}
{{- if $v.sessions.requireSigned -}}{{- $_ := set $settings "SESSION_REQUIRE_SIGNED" true -}}{{- end -}}
{{- if $v.mongodb.database -}}{{- $_ := set $settings "MONGODB_DATABASE" $v.mongodb.database -}}{{- end -}}
{{- if $v.server.tlsSecret -}}
{{- $_ := set $settings "SSL_CERTFILE" "/etc/tradecast/tls/tls.crt" -}}
{{- $_ := set $settings "SSL_KEYFILE" "/etc/tradecast/tls/tls.key" -}}
{{- end -}}
{{- if $v.server.internalTlsSecret -}}
{{- $_ := set $settings "INTERNAL_CERT_FILE" "/etc/tradecast/internal/tls.crt" -}}
{{- $_ := set $settings "INTERNAL_KEY_FILE" "/etc/tradecast/internal/tls.key" -}}
{{- $_ := set $settings "INTERNAL_CA_FILE" "/etc/tradecast/internal/ca.crt" -}}
{{- $_ := set $settings "INTERNAL_SERVER_NAME" $v.server.internalServerName -}}
{{- if $v.server.internalRequireTls -}}{{- $_ := set $settings "INTERNAL_REQUIRE_TLS" true -}}{{- end -}}
{{- end -}}
{{- with include "tradecast.adapterConfigMap" . -}}{{- $_ := set $settings "ADAPTER_FILE" (printf "/etc/tradecast/adapter/%s" (get ($v.adapter | default dict) "key" | default "adapter.yaml")) -}}{{- end -}}
{{- if eq $v.mode "demo" -}}
{{- $_ := set $settings "DEMO_DAY_SECONDS" $v.demo.daySeconds -}}
{{- $_ := set $settings "DEMO_TICK_SECONDS" $v.demo.tickSeconds -}}
{{- end -}}
{{- range $name, $value := $v.server.settings -}}
{{- if and (hasKey $settings $name) (not (has $name (list "LOG_FORMAT" "METRICS_PUBLIC" "EMIT_PUBLIC"))) -}}
{{- fail (printf "\n\n  server.settings.%s is set by another value of the chart already.\n" $name) -}}
{{- end -}}
{{- if kindIs "float64" $value -}}
{{- $_ := set $settings $name (ternary (int64 $value | toString) (toString $value) (eq (floor $value) $value)) -}}
{{- else -}}
{{- $_ := set $settings $name $value -}}
{{- end -}}
{{- end -}}
{{- range $name := keys $settings | sortAlpha }}
{{ $name }}: {{ get $settings $name | toString | quote }}
{{- end }}
{{- end -}}
