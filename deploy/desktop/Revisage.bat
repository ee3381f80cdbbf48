@echo off
rem For Windows: a double click opens the page; photos and folders dropped on this file are restored.
chcp 65001 >nul
if "%~1"=="" (revisage serve) else (revisage restore %*)
pause
